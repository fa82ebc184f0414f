"""A dry run of a network on the meta device: which convolutions run, at which resolution, and what memory they need."""

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from restorekit.layers._skeleton import skeleton


@dataclass(frozen=True)
class Convolution:
    """One convolution that ran: a shared layer appears once per run."""

    weights: int  # elements of the kernel, groups already taken into account
    reach: int  # samples to each side that an output reads, on the finer of its two grids
    side_in: int  # rows of its input
    side_out: int  # rows of its output


@dataclass
class Trace:
    """What a dry run on a square picture saw."""

    side: int  # rows of the picture
    convolutions: list[Convolution] = field(default_factory=list)
    peak_bytes: int = 0  # largest sum of intermediate tensors alive at once, in the dtype of the network

    @property
    def multadds_per_pixel(self) -> Fraction:
        """Multiply-adds of all convolutions per input pixel."""
        return Fraction(sum(conv.weights * conv.side_out**2 for conv in self.convolutions), self.side**2)

    @property
    def receptive_radius(self) -> int:
        """Input pixels to each side that an output pixel can depend on.

        Walks back from the output. Exact for a chain of convolutions with skip connections and shuffles between them,
        an upper bound when convolutions run side by side.
        """
        radius, side = 0, self.convolutions[-1].side_out
        for conv in reversed(self.convolutions):
            radius, side = _rescale(radius, side, conv.side_out), conv.side_out
            if conv.side_out > conv.side_in:  # a transposed convolution reaches on its finer side
                radius += conv.reach
            radius, side = _rescale(radius, side, conv.side_in), conv.side_in
            if conv.side_out <= conv.side_in:
                radius += conv.reach
        return _rescale(radius, side, self.side)


def _rescale(radius: int, side: int, target: int) -> int:
    """A radius on a grid of ``side`` samples, in samples of a finer or coarser grid over the same picture."""
    if target <= side:
        return math.ceil(radius * Fraction(target, side))
    ratio = math.ceil(Fraction(target, side))
    return radius * ratio + ratio - 1  # from any fine pixel of the first cell to any of the last


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, trace: Trace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace
        self.alive = 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            self._record(args, out)
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._follow(leaf)
        return out

    def _record(self, args: tuple[Any, ...], out: Tensor) -> None:
        x, weight, padding, dilation = args[0], args[1], args[4], args[5]
        extent = (weight.shape[2] - 1) * dilation[0]
        reach = max(padding[0], extent - padding[0])
        self.trace.convolutions.append(Convolution(weight.numel(), reach, x.shape[2], out.shape[2]))

    def _follow(self, tensor: Tensor) -> None:
        """Count a new storage until it is freed; views and in-place results share a known one."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self.known:
            return
        self.known.add(key)
        self.alive += size
        self.trace.peak_bytes = max(self.trace.peak_bytes, self.alive)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.alive -= size


def trace(
    model: nn.Module, *, in_channels: int, side: int, arguments: dict[str, Any], dtype: torch.dtype | None = None
) -> Trace:
    """Run a skeleton of ``model`` without arithmetic on a square picture of ``side`` pixels, in its dtype if None."""
    dtype = dtype or next((p.dtype for p in model.parameters()), torch.float32)
    seen = Trace(side)
    with torch.inference_mode(False), torch.no_grad():  # inference mode hides convolutions from the recorder
        run = skeleton(model)
        x = torch.empty(1, in_channels, side, side, dtype=dtype, device="meta")
        with _Recorder(seen):
            run(x, **arguments)
    return seen
