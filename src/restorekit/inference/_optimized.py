"""A network rewritten for inference, as a network."""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Self, final

import torch
from torch import Tensor, fx, nn

from restorekit._check import check_batch
from restorekit.inference._rewrites.convolution import spelled_out
from restorekit.inference._rewrites.pipeline import rewritten
from restorekit.inference._rewrites.tracing import settled
from restorekit.layers._skeleton import skeleton
from restorekit.models import Restorer
from restorekit.models._trace import Trace, trace


@final
class Optimized(Restorer):
    """A network that computes what another does, for its result alone, by a rewritten graph for each scale.

    Pictures keep the dtype of the original, or a wider one that is asked for, whatever features are computed in. It
    holds copies of all weights and follows no later change of the original's.

    Args:
        model: The original; left as it is.
        scales: Those of its factors to hold.
        dtype: Type to compute features in.
        cast: Cast them to it in the graphs; otherwise what runs them is expected to.

    Attributes:
        dtype: Type that features are computed in.
        picture_dtype: Type of pictures.
        graphs: What runs, by scale.
    """

    is_original = False

    def __init__(self, model: Restorer, scales: Sequence[int], dtype: torch.dtype, *, cast: bool = True) -> None:
        super().__init__(
            scales, size_multiple=model.size_multiple, in_channels=model.in_channels, config=dict(model.config)
        )
        own = next(model.parameters()).dtype
        self.dtype, self.picture_dtype = dtype, torch.promote_types(own, dtype)
        if own != self.picture_dtype:
            model = copy.deepcopy(model).to(self.picture_dtype)
        self.whole_pixels = model.whole_pixels
        self._plan = (settled(skeleton(model)),)  # no submodule: its tensors have no memory and stay so
        self.graphs = nn.ModuleDict({str(scale): rewritten(model, scale, dtype, cast=cast) for scale in self.scales})
        self.requires_grad_(False).eval()

    @property
    def plan(self) -> Restorer:
        """The original without memory: its structure, counts and reach."""
        (model,) = self._plan
        assert isinstance(model, Restorer)
        return model

    @property
    def receptive_radius(self) -> int | None:
        """That of the original."""
        return self.plan.receptive_radius

    def trace(self, scale: int | None = None) -> Trace:
        """The dry run of the original, whose arithmetic counts; its peak memory is that of this."""
        seen, graph = self.plan.trace(scale), self.graphs[str(self.pick_scale(scale))]
        if isinstance(graph, fx.GraphModule):
            dry = trace(graph, in_channels=self.in_channels, side=seen.side, arguments={}, dtype=self.picture_dtype)
            seen.peak_bytes = dry.peak_bytes
        return seen

    def widest_bytes(self, scale: int) -> float | None:
        """Bytes of its largest tensor for each pixel of the picture; None if that is not known."""
        meta = getattr(self.graphs[str(scale)], "meta", {})
        return meta["widest"] * self.dtype.itemsize if "widest" in meta else None

    def forward(self, x: Tensor, scale: int | None = None) -> Tensor:
        """Restore pictures (N, in_channels, H, W) in [0, 1] as the original does, without graph for gradients.

        Args:
            x: Pictures of at least 1x1 px, of any floating-point type.
            scale: Which factor, needed only if the network holds several.

        Returns:
            Restored pictures (N, in_channels, scale * H, scale * W) of the same type, not clamped.

        Raises:
            TypeError: ``x`` is no floating-point tensor.
            ValueError: A wrong shape, or a scale that is not held.
        """
        self.check_input(x)
        factor = self.pick_scale(scale)
        with torch.no_grad(), _as_far_as_finite(x):
            return self.plan.in_parts(x.to(self.picture_dtype), factor, self._run).to(x.dtype)

    def _run(self, x: Tensor, scale: int) -> Tensor:
        padded = self.pad(x).contiguous(memory_format=torch.channels_last)
        return self.crop(self._graph(scale)(padded), x, scale)

    def _graph(self, scale: int) -> nn.Module:
        # By comparison: torch.compile may not know the number, but then guards what it was compared with.
        return next(graph for held, graph in zip(self.scales, self.graphs.values(), strict=True) if held == scale)

    def check_input(self, x: Tensor) -> None:
        """Require pictures that the original can take, of any floating-point type."""
        check_batch(x, channels=self.in_channels)
        self.plan.check_input(x.to(self.picture_dtype))

    def pad(self, x: Tensor) -> Tensor:
        """As the original does."""
        return self.plan.pad(x)

    def crop(self, out: Tensor, x: Tensor, scale: int = 1) -> Tensor:
        """As the original does."""
        return self.plan.crop(out, x, scale)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, which the graphs are written for."""
        return super().train(False)


def _as_far_as_finite(x: Tensor) -> AbstractContextManager[None]:
    """Let the numbers that are none spread as in the original."""
    if torch.compiler.is_compiling() or x.device.type != "cpu" or x.isfinite().all():
        return nullcontext()
    return spelled_out()
