"""Soft parameter sharing: convolutions whose kernels are mixed from one bank of templates."""

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, Self, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_generator, check_integer


@final
class TemplateBank(nn.Module):
    """Templates T_1 ... T_K that ``SConv2d`` layers mix their kernels from: a tensor (K, out, in, height, width).

    The network that holds the layers must hold the bank, as one of its submodules: the layers refer to it and do not
    store it, so that it is in the state dict and in ``parameters()`` once, however many layers there are.

    Args:
        num_templates: Number of templates K.
        in_channels: Input channels of a kernel: those of the layers, divided by their ``groups``.
        out_channels: Output channels.
        kernel_size: Height and width of a kernel, or one number for both.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A size below 1.

    Example:
        >>> bank = TemplateBank(4, 8, 8, 3)
        >>> network = nn.ModuleDict({"bank": bank, "first": SConv2d(bank, padding=1), "second": SConv2d(bank)})
        >>> {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        {'bank.templates': (4, 8, 8, 3, 3), 'first.coefficients': (4,), 'second.coefficients': (4,)}

    Source:
        Savarese and Maire, ICLR 2019 (arXiv:1902.09701); Ahn's thesis, section 7.4.2. Each template is drawn Kaiming
        normal, as in the released MEPSNet.
    """

    def __init__(
        self, num_templates: int, in_channels: int, out_channels: int, kernel_size: int | tuple[int, int]
    ) -> None:
        super().__init__()
        height, width = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
        sizes = {"num_templates": num_templates, "in_channels": in_channels, "out_channels": out_channels}
        for name, value in {**sizes, "kernel_size": height, "kernel_size (width)": width}.items():
            check_integer(value, name, 1)
        self.templates = nn.Parameter(torch.empty(num_templates, out_channels, in_channels, height, width))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw each template as the kernel of a convolution: Kaiming normal."""
        for template in self.templates.detach():
            nn.init.kaiming_normal_(template)

    def mix(self, coefficients: Tensor) -> Tensor:
        """The kernel sum_j coefficients_j T_j, (out, in, height, width), for coefficients (K,).

        Raises:
            ValueError: Coefficients of another number, dtype or device than the templates.
        """
        _check_fit(self.templates, coefficients)
        with _without_autocast(self.templates.device.type):
            # As a product of matrices: that of a vector leaves the bank a transposed gradient, slow to add up.
            return (coefficients[None] @ self.templates.flatten(1)).view(self.templates.shape[1:])

    def extra_repr(self) -> str:
        count, out_channels, in_channels, *size = self.templates.shape
        return f"{count}, {in_channels}, {out_channels}, kernel_size={tuple(size)}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # ``to(memory_format=torch.channels_last)`` asks this format of every tensor of a network with 4 or 5
        # dimensions, though none with 5 has it: the templates show themselves as rows.
        def as_rows(tensor: Tensor) -> Tensor:
            return fn(tensor.flatten(1)).view(tensor.shape)

        super()._apply(as_rows, recurse)  # type: ignore[no-untyped-call]
        return self


def orthogonal_coefficients(layers: int, num_templates: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Initial coefficients of all layers that follow each other: the rows of one random orthogonal matrix.

    With more layers than templates the columns are orthonormal and a row has length sqrt(K / layers) on average.

    Args:
        layers: Number of layers, at least 1.
        num_templates: Number of templates K, at least 1.
        generator: Source of randomness on any device; torch's default if None.

    Returns:
        A tensor (layers, K): a row for each layer, in their order.

    Raises:
        TypeError: ``generator`` is no generator, or a size no integer.
        ValueError: A size below 1.

    Example:
        >>> rows = orthogonal_coefficients(8, 4)
        >>> torch.allclose(rows.T @ rows, torch.eye(4), atol=1e-5)
        True

    Source:
        Released MEPSNet, one matrix for each expert. There the layer j (0, 1) of block b of unit u takes the row
        u * blocks + 2 b + j instead of 2 (u * blocks + b) + j, the order meant and the one here. So some layers have
        the same row, and stay equal in training too: their parameters are views of one matrix and share its memory.
    """
    check_integer(layers, "layers", 1)
    check_integer(num_templates, "num_templates", 1)
    check_generator(generator)
    rows = torch.empty(layers, num_templates, device=None if generator is None else generator.device)
    return nn.init.orthogonal_(rows, generator=generator)


class _Mixed(NamedTuple):
    """A mixed kernel, and what it was mixed from."""

    state: Sequence[tuple[object, ...]]
    sources: Sequence[Tensor]  # held, so that nothing new can come to lie at their addresses
    kernel: Tensor


@final
class SConv2d(nn.Module):
    """Convolution that mixes its kernel from a bank: it learns K coefficients where an ordinary one learns a kernel.

        y = conv2d(x, sum_j alpha_j T_j) + bias

    Takes the place of an ``nn.Conv2d`` and has its options; channels and kernel size are the bank's.

    In evaluation, where no gradient of the parameters is asked for (``torch.no_grad``, ``torch.inference_mode``, frozen
    parameters), the kernel is mixed once and kept until a parameter changes, moves or is replaced. Changes in place
    through ``.data`` or NumPy, and steps of fused optimizers in evaluation mode, leave no trace: call ``eval()`` or
    ``train()`` after them. Compiled and exported networks mix in their graph; ``fuse`` spares them that. Kept kernels
    take the memory of ordinary convolutions.

    Args:
        bank: Templates. The network that holds this layer must hold the bank too, see ``TemplateBank``: to the layer it
            is a reference, no submodule, so that copying, moving, saving and DDP see one tensor. ``nn.DataParallel``,
            which copies the submodules one by one, does not work.
        stride: As in ``nn.Conv2d``.
        padding: As in ``nn.Conv2d``: numbers, "same" or "valid".
        dilation: As in ``nn.Conv2d``.
        groups: As in ``nn.Conv2d``; the layer takes ``groups`` times the input channels of the bank.
        bias: Learn a constant for each output channel; the published layers have none.
        padding_mode: As in ``nn.Conv2d``.
        coefficients: Initial alpha (K,), copied. If None a random direction of length 1, for which the kernel has the
            variance of a Kaiming-normal one. For all layers of a chain see ``orthogonal_coefficients``.

    Raises:
        TypeError: ``bank`` is no ``TemplateBank``.
        ValueError: An option that ``nn.Conv2d`` refuses, output channels of the bank that ``groups`` does not divide,
            or coefficients of another shape. When called: bank and layer are on different devices or of different
            dtypes.

    Example:
        >>> layer = SConv2d(TemplateBank(4, 8, 16, 3), stride=2, padding=1)
        >>> layer(torch.rand(1, 8, 6, 6)).shape
        torch.Size([1, 16, 3, 3])

    Source:
        Savarese and Maire, ICLR 2019; Ahn's thesis, equation 7.3. Released code stores the bank in the state dict once
        for each layer, and the coefficients as (K, 1, 1, 1, 1).
    """

    def __init__(
        self,
        bank: TemplateBank,
        *,
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] | Literal["same", "valid"] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = False,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        coefficients: Tensor | None = None,
    ) -> None:
        super().__init__()
        check_bank(bank)
        check_integer(groups, "groups", 1)
        count, out_channels, in_channels, height, width = bank.templates.shape
        size = (in_channels * groups, out_channels, (height, width))
        self._plain = partial(nn.Conv2d, *size, stride, padding, dilation, groups, bias, padding_mode)
        plain = self._plain(device="meta")  # refuses what an ordinary convolution would refuse
        self.in_channels, self.out_channels, self.kernel_size = plain.in_channels, plain.out_channels, plain.kernel_size
        self.stride, self.padding, self.dilation = plain.stride, plain.padding, plain.dilation
        self.groups, self.padding_mode = groups, padding_mode
        self._edges = None if padding_mode == "zeros" else _edges(plain)
        self._bank = (bank,)  # as a plain attribute nn.Module would register it
        self._mixed: _Mixed | None = None
        self.coefficients = nn.Parameter(torch.empty(count))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.reset_parameters()
        if coefficients is not None:
            check_coefficients(coefficients, (count,))
            with torch.no_grad():
                self.coefficients.copy_(coefficients)

    def reset_parameters(self) -> None:
        """Draw a random direction of length 1, and the bias as ``nn.Conv2d`` does; the bank stays as it is."""
        with torch.no_grad():
            self.coefficients.normal_().div_(self.coefficients.norm())
        if self.bias is not None:
            spread = self.bank.templates[0, 0].numel() ** -0.5
            nn.init.uniform_(self.bias, -spread, spread)

    @property
    def bank(self) -> TemplateBank:
        return self._bank[0]

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, in_channels, H, W) to features (N, out_channels, H', W')."""
        kernel, padding = self.kernel(), self.padding
        if self._edges is not None:
            x, padding = F.pad(x, self._edges, mode=self.padding_mode), (0, 0)
        return F.conv2d(x, kernel, self.bias, self.stride, padding, self.dilation, self.groups)

    def kernel(self) -> Tensor:
        """The mixed kernel (out_channels, in_channels / groups, height, width), to be read only.

        Raises:
            ValueError: The bank has another device, dtype or number of templates than the layer.
        """
        sources = [self.bank.templates, self.coefficients]
        if not self._may_keep(sources):
            return self.bank.mix(self.coefficients)
        state = [(id(t), t._version, t.data_ptr(), t.dtype, t.device) for t in sources]
        mixed = self._mixed
        if mixed is None or mixed.state != state:
            with torch.inference_mode(False), torch.no_grad():  # usable later where inputs have gradients
                mixed = _Mixed(state, [*sources, *(t.detach() for t in sources)], self.bank.mix(self.coefficients))
            # Inside function transforms and dispatch modes it may be a stand-in that means nothing later.
            if type(mixed.kernel) is Tensor and torch.func.debug_unwrap(mixed.kernel) is mixed.kernel:
                self._mixed = mixed
        return mixed.kernel

    def fuse(self) -> nn.Conv2d:
        """An ordinary convolution with the same kernel, bias, dtype, device and mode, of its own memory."""
        kernel = self.bank.mix(self.coefficients).detach()
        plain = self._plain(device="meta", dtype=kernel.dtype)  # on no device: nothing is drawn
        plain.to_empty(device=kernel.device).train(self.training)
        plain.load_state_dict({"weight": kernel} | ({} if self.bias is None else {"bias": self.bias.detach()}))
        return plain

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation; the kernel is mixed anew."""
        self._mixed = None
        return super().train(mode)

    def extra_repr(self) -> str:
        options = f"stride={self.stride}, padding={self.padding!r}, dilation={self.dilation}, groups={self.groups}"
        more = f"bias={self.bias is not None}, padding_mode={self.padding_mode!r}"
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, {options}, {more}"

    def _may_keep(self, sources: Sequence[Tensor]) -> bool:
        if self.training or torch.compiler.is_compiling():
            return False
        if torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return False
        if torch.is_grad_enabled() and any(t.requires_grad for t in sources):
            return False
        # Parameters put in place for one call only are plain tensors; inference tensors count no changes.
        return all(type(t) is nn.Parameter and not t.is_inference() for t in sources)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._mixed = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mixed": None}  # a copy mixes its own


def _edges(plain: nn.Conv2d) -> list[int]:
    """Padding of a convolution on the left, right, top and bottom."""
    if isinstance(plain.padding, tuple):
        rows, columns = plain.padding
        return [columns, columns, rows, rows]
    if plain.padding == "valid":
        return [0, 0, 0, 0]
    rows, columns = (d * (k - 1) for d, k in zip(plain.dilation, plain.kernel_size, strict=True))
    return [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2]


def _without_autocast(device: str) -> contextlib.AbstractContextManager[object]:
    """Mix in the dtype of the parameters: a kernel kept under autocast must serve outside of it."""
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.autocast(device, enabled=False)
    return contextlib.nullcontext()


def check_bank(bank: TemplateBank) -> None:
    """Require a bank."""
    if not isinstance(bank, TemplateBank):
        raise TypeError(f"bank must be a TemplateBank, got {type(bank).__name__}")


def check_coefficients(coefficients: Tensor, shape: tuple[int, ...]) -> None:
    """Require initial coefficients of one layer (K,) or several (layers, K)."""
    if not isinstance(coefficients, Tensor) or coefficients.shape != shape:
        got = tuple(coefficients.shape) if isinstance(coefficients, Tensor) else type(coefficients).__name__
        raise ValueError(f"coefficients must be a tensor of shape {shape}, one for each template, got {got}")


def _check_fit(templates: Tensor, coefficients: Tensor) -> None:
    if templates.device != coefficients.device or templates.dtype != coefficients.dtype:
        raise ValueError(
            "the bank and the layer must have the same device and dtype, got templates of "
            f"{templates.dtype} on {templates.device} and coefficients of {coefficients.dtype} on "
            f"{coefficients.device}: the network that holds the layer must hold the bank, and move as one"
        )
    if len(templates) != len(coefficients):
        raise ValueError(f"the bank has {len(templates)} templates and the layer {len(coefficients)} coefficients")
