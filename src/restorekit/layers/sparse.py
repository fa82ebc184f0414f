"""Sparse-group convolution: one kernel for each picture, mixed from several by what the picture looks like."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_batch, check_integer

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


@final
class SparseGroupConv2d(nn.Module):
    """Convolution whose kernel is a mixture of k candidates, weighed for each picture by its own features.

        gate = softmax over k of mlp(mean over the picture of x) / temperature      (N, k, d)
        y = conv(x, sum over k of gate * weight) + sum over k of gate * bias

    Takes the place of ``nn.Conv2d`` for batches: same arguments (without ``device`` and ``dtype``), same output shape,
    same memory format, and k times the kernels for hardly more arithmetic. ``weight`` is the bank (k * out_channels,
    in_channels / groups, q, q): row g * out_channels + c is channel c of candidate g. The d slices of out_channels / d
    channels are mixed each in its own way. Weight norm over the bank (``torch.nn.utils.parametrizations.weight_norm``)
    scales each row before mixing.

    Args:
        in_channels: Channels of the input; the gate sees all of them, whatever ``groups`` is.
        out_channels: Channels of the output.
        kernel_size: As in ``nn.Conv2d``.
        stride: As in ``nn.Conv2d``.
        padding: As in ``nn.Conv2d``: numbers, "same" or "valid".
        dilation: As in ``nn.Conv2d``.
        groups: As in ``nn.Conv2d``.
        bias: As in ``nn.Conv2d``; one per row of the bank.
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        num_sparsity_groups: Candidates k.
        cardinality: Slices d of the output channels, a divisor of ``out_channels``.
        temperature: Of the softmax, above 0; the lower, the nearer the gate is to choosing one candidate.
        pool_size: None: the gate averages over the whole picture. Otherwise the picture is cut into windows of so many
            pixels from its top left corner, each with a gate of its own for the outputs whose stride lands in it;
            windows end at the picture's edge, so one that is larger than the picture is the whole picture. A multiple
            of ``stride``. It may be set to another value on the trained layer.
        mlp_depth: Linear layers of the gate, as wide as ``in_channels`` within, with ReLUs between them.
        hard: In evaluation, use the best candidate alone.

    Raises:
        TypeError: A size that is no integer.
        ValueError: A size, stride or padding that is not offered, ``groups`` or ``cardinality`` that does not divide
            the channels, a temperature that is not above 0, or a window that is no multiple of the stride.

    Example:
        >>> conv = SparseGroupConv2d(8, 16, 3, padding=1, cardinality=4)
        >>> conv(torch.rand(2, 8, 5, 7)).shape, tuple(conv.weight.shape)
        (torch.Size([2, 16, 5, 7]), (64, 8, 3, 3))

    Source:
        Fan et al., NeurIPS 2020 (Neural Sparse Representation), supplement 5. The printed code hooks a private method
        of torch, needs a bias and zero padding, folds the batch into the channels and leaves out temperature and
        window, which the paper varies; it computes the same as this at temperature 1 without a window. Windows lie on
        a grid, which the paper does not say; its best are 64 px in training and smaller ones afterwards.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | Literal["same", "valid"] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        *,
        num_sparsity_groups: int = 4,
        cardinality: int = 1,
        temperature: float = 1.0,
        pool_size: int | None = None,
        mlp_depth: int = 1,
        hard: bool = False,
    ) -> None:
        super().__init__()
        _check_gate(out_channels, num_sparsity_groups, cardinality, temperature, mlp_depth)
        _check_groups(in_channels, out_channels, groups)
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {', '.join(PADDING_MODES)}, got {padding_mode!r}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = _pair(kernel_size, "kernel_size", 1)
        self.stride = _pair(stride, "stride", 1)
        self.dilation = _pair(dilation, "dilation", 1)
        self.padding: tuple[int, int] | str = padding if isinstance(padding, str) else _pair(padding, "padding", 0)
        self.padding_mode = padding_mode
        self.num_sparsity_groups, self.cardinality, self.temperature = num_sparsity_groups, cardinality, temperature
        self.pool_size, self.hard = pool_size, hard
        self._margins = self._resolve_padding()
        self._check_window()
        rows = num_sparsity_groups * out_channels
        self.weight = nn.Parameter(torch.empty(rows, in_channels // groups, *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(rows)) if bias else None
        self.mlp = _gate_mlp(in_channels, num_sparsity_groups * cardinality, mlp_depth)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw each candidate as ``nn.Conv2d`` draws its kernel."""
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (N, in_channels, H, W) to (N, out_channels, H', W'), H' and W' as ``nn.Conv2d`` makes them."""
        check_batch(x, channels=self.in_channels)
        if self.pool_size is not None and max(x.shape[2:]) > self.pool_size:
            return self._windows(x, self.pool_size)
        gate = self.gate(x.mean((2, 3)))
        left, right, top, bottom = self._margins
        if self.padding_mode == "zeros" and (left, top) == (right, bottom):
            return self._convolve(x, gate, (top, left))
        return self._convolve(self._pad(x), gate)

    def gate(self, averages: Tensor) -> Tensor:
        """Weights (N, k, d) of the candidates, which add up to 1 over k, from average features (N, in_channels)."""
        if not self.temperature > 0:  # it may be lowered during training
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        logits: Tensor = self.mlp(averages) / self.temperature
        logits = logits.reshape(-1, self.num_sparsity_groups, self.cardinality)
        if self.hard and not self.training:
            return torch.zeros_like(logits).scatter(1, logits.argmax(dim=1, keepdim=True), 1.0)
        return logits.softmax(dim=1)

    def _mix(self, gate: Tensor, bank: Tensor) -> Tensor:
        """Kernels (N, out_channels, ...) out of the bank (k * out_channels, ...)."""
        if bank.ndim == 4 and not bank.is_contiguous():  # channels last: mixed as it lies in memory
            return self._mix(gate, bank.permute(0, 2, 3, 1).contiguous()).permute(0, 1, 4, 2, 3)
        candidates = bank.reshape(*gate.shape[1:], -1)
        return torch.einsum("nkd,kdm->ndm", gate, candidates).reshape(-1, self.out_channels, *bank.shape[1:])

    def _convolve(self, x: Tensor, gate: Tensor, padding: tuple[int, int] = (0, 0)) -> Tensor:
        """Each picture with its own kernel: one call for each keeps the memory format and torch's fastest path."""
        if torch.compiler.is_exporting():
            return self._mix_results(x, gate, padding)
        kernels = self._mix(gate, self.weight).unbind()
        biases = self._mix(gate, self.bias).unbind() if self.bias is not None else [None] * len(kernels)
        if len(kernels) == 1:  # taking a batch of one apart would cost its gradient a copy
            return F.conv2d(x, kernels[0], biases[0], self.stride, padding, self.dilation, self.groups)
        parts = (
            F.conv2d(picture, kernel, bias, self.stride, padding, self.dilation, self.groups)
            for picture, kernel, bias in zip(torch.split(x, 1), kernels, biases, strict=True)
        )
        return torch.cat(list(parts)) if torch.is_grad_enabled() else _gather(parts, len(kernels))

    def _mix_results(self, x: Tensor, gate: Tensor, padding: tuple[int, int]) -> Tensor:
        """The same by mixing what all candidates make: k times the work, for graphs that hold no number of pictures."""
        kernels = self.weight.chunk(self.num_sparsity_groups)
        biases = [None] * len(kernels) if self.bias is None else self.bias.chunk(len(kernels))
        out: Tensor | None = None
        for shares, kernel, bias in zip(gate.unbind(1), kernels, biases, strict=True):
            part = F.conv2d(x, kernel, bias, self.stride, padding, self.dilation, self.groups)
            parts = part.reshape(x.shape[0], self.cardinality, -1, *part.shape[2:]) * shares[..., None, None, None]
            part = parts.flatten(1, 2)
            out = part if out is None else out + part
        assert out is not None
        return out

    def _windows(self, x: Tensor, size: int) -> Tensor:
        """Fold the windows, each with the margin that its kernel reads, into the batch and put the results together."""
        self._check_window()
        layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        padded, averages = self._pad(x), F.avg_pool2d(x, size, ceil_mode=True)
        height, rows, tall = self._window_axis(0, padded.shape[2])
        width, columns, wide = self._window_axis(1, padded.shape[3])
        missing = ((columns - 1) * size + wide - padded.shape[3], (rows - 1) * size + tall - padded.shape[2])
        tiles = F.pad(padded, (0, missing[0], 0, missing[1])).unfold(2, tall, size).unfold(3, wide, size)
        tiles = tiles.permute(0, 2, 3, 1, 4, 5).flatten(0, 2).contiguous(memory_format=layout)
        # Outputs that padding puts beyond the last window belong to it.
        spare = (0, max(0, columns - averages.shape[3]), 0, max(0, rows - averages.shape[2]))
        averages = F.pad(averages[..., :rows, :columns], spare, mode="replicate")
        out = self._convolve(tiles, self.gate(averages.permute(0, 2, 3, 1).flatten(0, 2)))
        out = out.reshape(x.shape[0], rows, columns, *out.shape[1:]).permute(0, 3, 1, 4, 2, 5)
        out = out.flatten(4, 5).flatten(2, 3)
        return out[..., :height, :width].contiguous(memory_format=layout)

    def _window_axis(self, axis: int, length: int) -> tuple[int, int, int]:
        """Outputs along an axis of so many padded pixels, windows that they come from, and pixels that one reads."""
        assert self.pool_size is not None
        step, extent = self.stride[axis], self.dilation[axis] * (self.kernel_size[axis] - 1)
        outputs = (length - extent - 1) // step + 1
        windows = (outputs * step + self.pool_size - 1) // self.pool_size
        return outputs, windows, self.pool_size - step + extent + 1

    def _pad(self, x: Tensor) -> Tensor:
        return F.pad(x, self._margins, mode="constant" if self.padding_mode == "zeros" else self.padding_mode)

    def _resolve_padding(self) -> tuple[int, int, int, int]:
        """Left, right, top and bottom."""
        if isinstance(self.padding, tuple):
            top, left = self.padding
            return left, left, top, top
        if self.padding == "valid":
            return 0, 0, 0, 0
        if self.padding != "same":
            raise ValueError(f"padding must be numbers, 'same' or 'valid', got {self.padding!r}")
        if self.stride != (1, 1):
            raise ValueError(f"padding='same' needs stride 1, got {self.stride}")
        rows, columns = (d * (q - 1) for d, q in zip(self.dilation, self.kernel_size, strict=True))
        return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2

    def _check_window(self) -> None:
        if self.pool_size is None:
            return
        check_integer(self.pool_size, "pool_size", 1)
        if any(self.pool_size % step for step in self.stride):
            raise ValueError(f"pool_size must be a multiple of stride, got {self.pool_size} and stride {self.stride}")

    def extra_repr(self) -> str:
        plain = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        plain += f", padding={self.padding}, dilation={self.dilation}, groups={self.groups}"
        plain += f", bias={self.bias is not None}, padding_mode={self.padding_mode}"
        gate = f"num_sparsity_groups={self.num_sparsity_groups}, cardinality={self.cardinality}"
        return f"{plain}, {gate}, temperature={self.temperature}, pool_size={self.pool_size}, hard={self.hard}"


def _check_gate(out_channels: int, groups: int, cardinality: int, temperature: float, mlp_depth: int) -> None:
    """Require options of the gate that fit the channels that it mixes."""
    sizes = {"num_sparsity_groups": groups, "cardinality": cardinality, "mlp_depth": mlp_depth}
    for name, value in {"out_channels": out_channels, **sizes}.items():
        check_integer(value, name, 1)
    if out_channels % cardinality:
        raise ValueError(f"cardinality must divide out_channels, got {cardinality} and {out_channels} channels")
    if isinstance(temperature, bool) or not isinstance(temperature, int | float):
        raise TypeError(f"temperature must be a number above 0, got {temperature!r}")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be above 0 and finite, got {temperature}")


def _check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    check_integer(in_channels, "in_channels", 1)
    check_integer(groups, "groups", 1)
    if in_channels % groups or out_channels % groups:
        raise ValueError(
            f"groups must divide in_channels and out_channels, got {groups} groups, "
            f"{in_channels} and {out_channels} channels"
        )


def _pair(value: int | Sequence[int], name: str, minimum: int) -> tuple[int, int]:
    """Vertical and horizontal value."""
    pair = (value, value) if isinstance(value, int) else value
    if not isinstance(pair, Sequence) or len(pair) != 2:
        raise ValueError(f"{name} must be an integer or two of them, got {value!r}")
    for one in pair:
        check_integer(one, name, minimum)
    return pair[0], pair[1]


def _gate_mlp(channels: int, out_features: int, depth: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(depth - 1):
        layers += [nn.Linear(channels, channels), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(channels, out_features))


def _gather(parts: Iterator[Tensor], count: int) -> Tensor:
    """``torch.cat`` without holding all parts beside the result."""
    first = next(parts)
    channels_last = first.is_contiguous(memory_format=torch.channels_last) and not first.is_contiguous()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    out = torch.empty((count, *first.shape[1:]), dtype=first.dtype, device=first.device, memory_format=layout)
    out[:1] = first
    for i, part in enumerate(parts, start=1):
        out[i : i + 1] = part
    return out
