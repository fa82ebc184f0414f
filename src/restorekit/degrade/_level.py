"""What every distortion does at its two ends: read a strength for each picture, hand back the dtype and range."""

import math

import torch
from torch import Tensor


def per_picture(
    level: float | Tensor, name: str, x: Tensor, low: float, high: float, *, above: bool = False, unit: str = ""
) -> Tensor:
    """``level`` as (N, 1, 1, 1) on the device of ``x``, float32 or wider, required to lie in [low, high].

    Args:
        level: A number, or a floating-point or integer tensor (), (1,) or (N,). Values of a tensor are checked on the
            CPU only; reading them from another device would wait for it. Its graph is kept.
        name: What the caller calls it.
        x: Pictures (N, C, H, W).
        low: Least value allowed.
        high: Greatest value allowed.
        above: Leave ``low`` itself out.
        unit: What the number means, for messages.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    if not isinstance(level, Tensor):
        if isinstance(level, bool) or not isinstance(level, (int, float)):
            raise TypeError(f"{name} must be a number or a tensor (N,), got {type(level).__name__}")
        _check_range([level], [], name, low, high, above, unit)
        return torch.full((x.shape[0], 1, 1, 1), level, dtype=dtype, device=x.device)
    if level.dtype == torch.bool or level.is_complex():
        raise TypeError(f"{name} must hold real numbers, got {level.dtype}")
    if level.ndim > 1 or level.numel() not in {1, x.shape[0]}:
        raise ValueError(
            f"{name} must be one number or one for each of the {x.shape[0]} pictures, got shape {tuple(level.shape)}"
        )
    if level.device.type == "cpu":
        # A bound lies inside however the type of the tensor rounds it.
        ends = torch.tensor((low, high), dtype=torch.float64, device="cpu").to(level.dtype).tolist()
        _check_range(level.flatten().tolist(), ends, name, low, high, above, unit)
    return level.to(x.device, dtype).reshape(-1, 1, 1, 1).expand(x.shape[0], 1, 1, 1)


def per_picture_exactly(
    level: float | Tensor, name: str, x: Tensor, low: float, high: float, *, above: bool = False, unit: str = ""
) -> Tensor:
    """As ``per_picture``, in float64: for what is counted in pixels, where float32 is a pixel off now and then."""
    return per_picture(level, name, x[:, :1, :1, :1].double(), low, high, above=above, unit=unit)


def _check_range(
    values: list[float], ends: list[float], name: str, low: float, high: float, above: bool, unit: str
) -> None:
    for value in values:
        # float16 rounds a bound of 1e6 to infinity.
        inside = low <= value <= high or (value in ends and abs(value) < math.inf)
        if not inside or (above and value == low):
            interval = f"{'(' if above else '['}{low}, {high}]"
            raise ValueError(f"{name} must be in {interval}{unit and f' {unit}'}, got {value}")


def finished(out: Tensor, x: Tensor, clip: bool) -> Tensor:
    """The result in the dtype of ``x``, clamped to [0, 1] if asked for."""
    return (out.clamp(0, 1) if clip else out).to(x.dtype)
