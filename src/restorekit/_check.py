"""Argument checks shared by the public entries: types, shapes and plain numbers, never values on a device."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def check_batch(x: Tensor, name: str = "x", *, channels: int | None = None) -> None:
    """Require a non-empty real floating-point tensor (N, C, H, W), with ``channels`` channels if given."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name} must be a torch.Tensor (N, C, H, W), got {type(x).__name__}; image.to_tensor makes one"
        )
    if not x.is_floating_point():
        raise TypeError(
            f"{name} must be a real floating-point tensor in [0, 1], got {x.dtype}; image.to_tensor converts"
        )
    if x.ndim != 4:
        raise ValueError(f"{name} must have 4 dimensions (N, C, H, W), got shape {tuple(x.shape)}")
    if x.numel() == 0:
        raise ValueError(f"{name} must not be empty, got shape {tuple(x.shape)}")
    if channels is not None and x.shape[1] != channels:
        raise ValueError(f"{name} must have {channels} channels, got shape {tuple(x.shape)}")


def check_pair(a: Tensor, b: Tensor, names: Sequence[str] = ("prediction", "target")) -> None:
    """Require two batches of the same shape, dtype and device."""
    check_batch(a, names[0])
    check_batch(b, names[1])
    if a.shape != b.shape:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same shape, got {tuple(a.shape)} and {tuple(b.shape)}"
        )
    check_same_kind(a, b, names)


def check_same_kind(a: Tensor, b: Tensor, names: Sequence[str]) -> None:
    """Require the same dtype and device of two tensors."""
    if a.dtype != b.dtype or a.device != b.device:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same dtype and device, "
            f"got {a.dtype} on {a.device} and {b.dtype} on {b.device}"
        )


def check_interval(value: float, name: str, low: float, high: float) -> None:
    """Require a real number in [low, high]; NaN is refused."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number in [{low}, {high}], got {value!r}")
    if math.isnan(value) or not low <= value <= high:
        raise ValueError(f"{name} must be in [{low}, {high}], got {value}")


def check_integer(value: int, name: str, minimum: int) -> None:
    """Require an integer of at least ``minimum``; a bool is not an integer here."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")


def check_mean(mean: Sequence[float], channels: int) -> None:
    """Require a mean colour: one number for each channel of the picture."""
    if not isinstance(mean, Sequence) or len(mean) != channels:
        raise ValueError(f"mean must hold one value for each of the {channels} channels, got {mean!r}")
    if not all(math.isfinite(value) for value in mean):
        raise ValueError(f"mean must hold finite numbers, got {mean!r}")


def check_generator(generator: torch.Generator | None) -> None:
    """Require a ``torch.Generator`` or None."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator or None, got {type(generator).__name__}")
