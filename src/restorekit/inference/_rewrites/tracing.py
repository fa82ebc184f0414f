"""One flat graph of what a network does to a picture of any size."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from restorekit.layers import SConv2d
from restorekit.models import Restorer


class _Tracer(fx.Tracer):
    """Follows forward into every module but torch's own and those of the types in ``opaque``."""

    def __init__(self, opaque: set[type]) -> None:
        super().__init__()
        self.opaque = opaque
        self.failed: nn.Module | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, nn.Conv2d | SConv2d):  # weight norm makes its own class of a convolution
            return True
        return type(m) in self.opaque or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed = self.failed or m  # the innermost hears of it first
            raise


class OneScale(nn.Module):
    """A network as a function of the picture alone."""

    def __init__(self, network: nn.Module, scale: int) -> None:
        super().__init__()
        self.network = network
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        restored: Tensor = self.network(x, scale=self.scale)
        return restored


def flat_graph(model: Restorer, scale: int) -> fx.GraphModule | None:
    """The graph of one scale in evaluation, for pictures whose sides are multiples of ``size_multiple``.

    Modules that cannot be followed (their path depends on the picture, or they look into it) are single nodes. None if
    the network itself is such a module.
    """
    network: Any = copy.deepcopy(model).eval().requires_grad_(False)
    network.check_input = _nothing
    network.pad = network.crop = _first
    network.in_parts = _whole
    root, opaque = OneScale(network, scale), set[type]()
    while type(network) not in opaque:
        tracer = _Tracer(opaque)
        try:
            with torch.no_grad():
                return fx.GraphModule(root, tracer.trace(root))
        except Exception:  # whatever a forward raises that meets a stand-in for a tensor
            if tracer.failed is None:
                raise
            opaque.add(type(tracer.failed))
    return None


def _nothing(x: Tensor) -> None:
    """Sizes and types are checked before the graph runs."""


def _whole(x: Tensor, scale: int, run: Callable[[Tensor, int], Tensor]) -> Tensor:
    """So is the division of large pictures."""
    return run(x, scale)


def _first(x: Tensor, *_: Any) -> Tensor:
    """Padding and cropping stand around the graph."""
    return x

