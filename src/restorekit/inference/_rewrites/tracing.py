"""One flat graph of what a network does to a picture of any size."""

import copy
import operator
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import GraphAppendingTracer
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from restorekit.inference._rewrites.convolution import FusedConv2d
from restorekit.inference._rewrites.overwriting import settle_overwriting
from restorekit.layers import SConv2d
from restorekit.models import Restorer

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


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

    Each convolution is a ``FusedConv2d`` of its own wherever it runs. Modules that cannot be followed (their path
    depends on the picture, or they look into it) are single nodes. None if the network itself is such a module, or
    writes into values that are read otherwise. The graph shares no memory with the network.
    """
    root, opaque = OneScale(model, scale), set[type]()
    while type(model) not in opaque:
        try:
            graph = _Recorder(root).record(opaque)
        except Exception as error:  # whatever a forward raises that meets a stand-in for a tensor
            kind = _raised_in(error.__traceback__)
            if kind in opaque or kind is OneScale:
                raise
            opaque.add(kind)
        else:
            return graph if settle_overwriting(graph) else None
    return None


class _Recorder(GraphAppendingTracer):
    """Runs a forward on a stand-in for the picture and writes down what happens to it.

    ``torch.fx.Tracer`` does this too, but patches ``nn.Module`` meanwhile, for all threads.
    """

    def __init__(self, root: nn.Module) -> None:
        super().__init__(fx.Graph())
        self.root = root
        self.names = {id(tensor): name for name, tensor in (*root.named_parameters(), *root.named_buffers())}
        self.constants: dict[str, Tensor] = {}
        self.layers = _Layers()

    def record(self, opaque: set[type]) -> fx.GraphModule:
        """The graph in which torch's own modules and those of the types in ``opaque`` are single nodes."""
        x = self.create_proxy("placeholder", "x", (), {})
        memo: dict[int, Any] = {id(tensor): tensor for tensor in (*self.root.parameters(), *self.root.buffers())}
        for name, module in self.root.named_modules():
            if _is_leaf(module) or type(module) in opaque:
                memo[id(module)] = _Leaf(self, name, module)
        out = _without_borders(copy.deepcopy(self.root, memo).eval())(x)
        self.create_node("output", "output", (self.create_arg(out),), {})
        return fx.GraphModule({**self.layers.copies, **self.constants}, self.graph)

    def call(self, name: str, module: nn.Module, args: Any, kwargs: Any) -> fx.Proxy:
        """Write down that a module is called."""
        return self.create_proxy("call_module", self.layers.name_of(name, module), args, kwargs)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)

    def create_arg(self, a: Any) -> Any:
        """Parameters, buffers and what was computed of them alone, as copies."""
        if isinstance(a, Tensor):
            name = self.names.setdefault(id(a), f"constant_{len(self.names)}")
            if name not in self.constants:
                self.constants[name] = a.detach().clone()
                self.layers.alive.append(a)
            return self.create_node("get_attr", name, (), {})
        return super().create_arg(a)


class _Value(fx.Proxy):
    """A stand-in for a tensor that is told ``a += b`` from ``a = a + b``."""

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self._written_into(operator.iadd, other)

    def __isub__(self, other: Any) -> fx.Proxy:
        return self._written_into(operator.isub, other)

    def __imul__(self, other: Any) -> fx.Proxy:
        return self._written_into(operator.imul, other)

    def __itruediv__(self, other: Any) -> fx.Proxy:
        return self._written_into(operator.itruediv, other)

    def _written_into(self, function: Callable[[Any, Any], Any], other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})


class _Layers:
    """Copies of the modules that run, by the names of their calls."""

    def __init__(self) -> None:
        self.copies: dict[str, nn.Module] = {}
        self.memo: dict[int, Any] = {}  # what several layers share stays shared
        self.alive: list[Any] = []  # an address tells tensors apart only while both live

    def name_of(self, name: str, module: nn.Module) -> str:
        """The name of one more call of a module."""
        known = self.copies.get(name)
        if known is None:
            self.copies[name] = self._copied(module)
        elif isinstance(known, FusedConv2d):  # its neighbours differ from call to call, its kernel does not
            name = f"run_{len(self.copies)}"  # all names in the network begin with that of ``OneScale.network``
            self.copies[name] = known.with_weights(known.weight, known.bias)
        return name

    def _copied(self, module: nn.Module) -> nn.Module:
        fused = FusedConv2d.of(module, self._kept) if isinstance(module, nn.Conv2d | SConv2d) else None
        return settled(copy.deepcopy(module, self.memo)).eval().requires_grad_(False) if fused is None else fused

    def _kept(self, tensor: Tensor) -> nn.Parameter:
        if id(tensor) not in self.memo:
            layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
            self.memo[id(tensor)] = nn.Parameter(tensor.detach().clone(memory_format=layout), requires_grad=False)
            self.alive.append(tensor)
        kept: nn.Parameter = self.memo[id(tensor)]
        return kept


class _Leaf(nn.Module):
    """In the place of a module: notes that it was called."""

    def __init__(self, recorder: _Recorder, name: str, module: nn.Module) -> None:
        super().__init__()
        self.called = partial(recorder.call, name, module)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.called(args, kwargs)


def settled(module: nn.Module) -> nn.Module:
    """A copy of a module, with each weight that is computed of others, as weight norm does, computed for good.

    ``remove_parametrizations`` would change the class of the part, which it has in common with what it is a copy of.
    """
    for part in filter(is_parametrized, list(module.modules())):
        values = {name: getattr(part, name).detach() for name in part.parametrizations}  # type: ignore[union-attr]
        part.__class__ = type_before_parametrizations(part)
        del part.parametrizations
        part._load_state_dict_pre_hooks.clear()  # of a function within a function, which cannot be pickled
        for name, value in values.items():
            setattr(part, name, nn.Parameter(value, requires_grad=False))
    return module


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


def _without_borders(root: Any) -> nn.Module:
    """Leave checks, padding, cropping and the division of large pictures to what stands around the graph."""
    root.network.check_input = _nothing
    root.network.pad = root.network.crop = _first
    root.network.in_parts = _whole
    found: nn.Module = root
    return found


def _nothing(x: Tensor) -> None:
    """In the place of ``check_input``."""


def _first(x: Tensor, *_: Any) -> Tensor:
    """In the place of ``pad`` and ``crop``."""
    return x


def _whole(x: Tensor, scale: int, run: Callable[[Tensor, int], Tensor]) -> Tensor:
    """In the place of ``in_parts``."""
    return run(x, scale)
