"""One flat graph of what a network does to a picture of any size."""

import copy
from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import GraphAppendingTracer

from restorekit.layers import SConv2d
from restorekit.models import Restorer

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


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
    the network itself is such a module. The graph shares no memory with the network.
    """
    network: Any = copy.deepcopy(model).eval().requires_grad_(False)
    network.check_input = _nothing
    network.pad = network.crop = _first
    network.in_parts = _whole
    root, opaque = OneScale(network, scale), set[type]()
    while type(network) not in opaque:
        try:
            return fx.GraphModule(root, _Recorder(root).record(opaque))
        except Exception as error:  # whatever a forward raises that meets a stand-in for a tensor
            kind = _raised_in(error.__traceback__)
            if kind in opaque or kind is OneScale:
                raise
            opaque.add(kind)
    return None


class _Recorder(GraphAppendingTracer):
    """Runs a forward on a stand-in for the picture and writes down what happens to it.

    ``torch.fx.Tracer`` does this too, but patches ``nn.Module`` meanwhile, for all threads.
    """

    def __init__(self, root: nn.Module) -> None:
        super().__init__(fx.Graph())
        self.root = root
        self.names = {id(tensor): name for name, tensor in (*root.named_parameters(), *root.named_buffers())}

    def record(self, opaque: set[type]) -> fx.Graph:
        """The graph in which torch's own modules and those of the types in ``opaque`` are single nodes."""
        x = self.create_proxy("placeholder", "x", (), {})
        memo: dict[int, Any] = {id(tensor): tensor for tensor in (*self.root.parameters(), *self.root.buffers())}
        for name, module in self.root.named_modules():
            if _is_leaf(module) or type(module) in opaque:
                memo[id(module)] = _Leaf(self, name)
        with torch.no_grad():
            out = copy.deepcopy(self.root, memo)(x)
        self.create_node("output", "output", (self.create_arg(out),), {})
        return self.graph

    def create_arg(self, a: Any) -> Any:
        """Parameters and buffers by their names in the network; what was computed of them alone, as new buffers."""
        if isinstance(a, Tensor):
            if id(a) not in self.names:
                self.names[id(a)] = f"constant_{len(self.names)}"
                self.root.register_buffer(self.names[id(a)], a, persistent=False)
            return self.create_node("get_attr", self.names[id(a)], (), {})
        return super().create_arg(a)


class _Leaf(nn.Module):
    """In the place of a module: notes that it was called."""

    def __init__(self, recorder: _Recorder, name: str) -> None:
        super().__init__()
        self.create_proxy, self.name = recorder.create_proxy, name

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.create_proxy("call_module", self.name, args, kwargs)


def _is_leaf(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d | SConv2d):  # weight norm makes its own class of a convolution
        return True
    return type(module).__module__.startswith("torch.nn.") and not isinstance(module, _CONTAINERS)


def _raised_in(traceback: TracebackType | None) -> type:
    """The type of the innermost module whose forward an exception came through."""
    found: type = OneScale
    while traceback is not None:
        owner = traceback.tb_frame.f_locals.get("self")
        if isinstance(owner, nn.Module) and not isinstance(owner, (*_CONTAINERS, _Leaf)):
            found = type(owner)
        traceback = traceback.tb_next
    return found


def _nothing(x: Tensor) -> None:
    """Sizes and types are checked before the graph runs."""


def _first(x: Tensor, *_: Any) -> Tensor:
    """Padding and cropping stand around the graph."""
    return x


def _whole(x: Tensor, scale: int, run: Callable[[Tensor, int], Tensor]) -> Tensor:
    """So does the division of large pictures."""
    return run(x, scale)
