"""A convolution with what follows it: an addition and an activation, in one pass over its output."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple, Self, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit.layers import SConv2d


class Activation(NamedTuple):
    """A scalar function by its name in oneDNN, with its constants."""

    name: str = "none"
    constants: tuple[float, ...] = ()

    def apply_(self, x: Tensor) -> Tensor:
        """Compute it, in place where torch can."""
        return _IN_PLACE[self.name](x, *self.constants)


_AVAILABLE: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
_fusing = ContextVar("fusing", default=True)
_IN_PLACE: dict[str, Callable[..., Tensor]] = {
    "none": lambda x: x,
    "relu": F.relu_,
    "leaky_relu": F.leaky_relu_,
    "gelu": F.gelu,
}


@contextmanager
def spelled_out() -> Iterator[None]:
    """Run convolutions, sums and activations one by one: the fused ones make zeros of what is not a number."""
    token = _fusing.set(False)
    try:
        yield
    finally:
        _fusing.reset(token)


@final
class FusedConv2d(nn.Module):
    """y = activation(conv2d(x) + other), where ``other`` may be left out, for inference.

    On the CPU one call of oneDNN does it all, so that sums and activations cost no passes over memory; elsewhere, and
    in graphs that are exported or compiled, the same is spelled out. Features lie in channels last.

    Args:
        weight: Kernel (out, in / groups, kh, kw).
        bias: One constant for each output channel, or None.
        stride: Of both axes.
        padding: Zeros around the picture on both axes.
        dilation: Of both axes.
        groups: Groups of channels.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        *,
        stride: tuple[int, ...] = (1, 1),
        padding: tuple[int, ...] = (0, 0),
        dilation: tuple[int, ...] = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.weight = _frozen(weight.contiguous(memory_format=torch.channels_last))
        self.bias = None if bias is None else _frozen(bias)
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.activation = Activation()
        self.overwrites = False  # the sum is written into ``other``, which nobody reads afterwards

    @classmethod
    def of(cls, conv: nn.Conv2d | SConv2d, copied: Callable[[Tensor], Tensor]) -> Self | None:
        """The same convolution with copies of its kernel and bias as they are now, be they normed or mixed.

        None if its border is no margin of zeros, or if it does something else by a forward of its own.
        """
        if conv.padding_mode != "zeros" or isinstance(conv.padding, str) or not _convolves(conv):
            return None
        plain = conv.fuse() if isinstance(conv, SConv2d) else conv
        weight, bias = copied(plain.weight), None if plain.bias is None else copied(plain.bias)
        stride, padding, dilation = tuple(conv.stride), tuple(conv.padding), tuple(conv.dilation)
        return cls(weight, bias, stride=stride, padding=padding, dilation=dilation, groups=conv.groups)

    def with_weights(self, weight: Tensor, bias: Tensor | None) -> "FusedConv2d":
        """The same options around other weights."""
        other = FusedConv2d(
            weight, bias, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups
        )
        other.activation = self.activation
        return other

    @property
    def in_channels(self) -> int:
        return self.weight.shape[1] * self.groups

    @property
    def out_channels(self) -> int:
        return self.weight.shape[0]

    @property
    def is_pointwise(self) -> bool:
        """Whether each pixel is mapped by itself, with one matrix for all channels."""
        return tuple(self.weight.shape[2:]) == (1, 1) and self.stride == (1, 1) and self.groups == 1 and not self.pads

    @property
    def pads(self) -> bool:
        return self.padding != (0, 0)

    def shape_of(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of what it makes of features of a shape."""
        sides = zip(shape[2:], self.weight.shape[2:], self.padding, self.dilation, self.stride, strict=True)
        return shape[0], self.out_channels, *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, p, d, s in sides)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Map features (N, in, H, W), and features of the result's shape to be added, to (N, out, H', W')."""
        if _by_onednn(x):
            return self._fused(x.contiguous(memory_format=torch.channels_last), other)
        out = F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        if other is not None:
            out = out.add_(other)
        return self.activation.apply_(out)

    def _fused(self, x: Tensor, other: Tensor | None) -> Tensor:
        convolve, add = _kernels()
        options = self.padding, self.stride, self.dilation, self.groups
        name, constants = self.activation
        if other is None:
            out: Tensor = convolve(x, self.weight, self.bias, *options, name, constants, "none")
        elif self.overwrites:
            unary = None if name == "none" else name
            out = add(other, x, self.weight, self.bias, *options, "add", None, unary, constants, "none")
        else:
            out = convolve(x, self.weight, self.bias, *options, "none", (), "").add_(other)
            out = self.activation.apply_(out)
        return out

    def extra_repr(self) -> str:
        shape = f"{self.in_channels}, {self.out_channels}, kernel_size={tuple(self.weight.shape[2:])}"
        return f"{shape}, groups={self.groups}, activation={self.activation.name!r}, overwrites={self.overwrites}"


def does_as(module: nn.Module | None, kind: type[nn.Module]) -> bool:
    """Whether a module is of a kind and computes as that does: a subclass may have a forward of its own."""
    return isinstance(module, kind) and type(module).forward is kind.forward and "forward" not in vars(module)


def _convolves(conv: nn.Conv2d | SConv2d) -> bool:
    if isinstance(conv, SConv2d):
        return does_as(conv, SConv2d)
    return does_as(conv, nn.Conv2d) and type(conv)._conv_forward is nn.Conv2d._conv_forward


def _frozen(tensor: Tensor) -> nn.Parameter:
    """A parameter that is in the module's memory and takes no gradient; one that is so already stays the same."""
    if isinstance(tensor, nn.Parameter) and not tensor.requires_grad:
        return tensor
    return nn.Parameter(tensor.detach(), requires_grad=False)


@cache
def _kernels() -> tuple[Any, Any]:
    """The fused convolution, and the one that adds to what it is given; by their overloads, which are found once."""
    kernels = torch.ops.mkldnn
    return kernels._convolution_pointwise.default, kernels._convolution_pointwise_.binary


@cache
def _has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _by_onednn(x: Tensor) -> bool:
    if torch.compiler.is_compiling() or x.device.type != "cpu":
        return False
    if not _fusing.get() or not torch.backends.mkldnn.enabled or not _AVAILABLE:
        return False
    if x.dtype == torch.bfloat16:
        return _has_bfloat16()
    return x.dtype == torch.float32
