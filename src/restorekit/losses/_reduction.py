"""How the values of a loss become one number."""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor

Reduction = Literal["mean", "sum", "none"]


def check_reduction(reduction: str, offered: Sequence[str] = get_args(Reduction)) -> None:
    """Require a known way."""
    if reduction not in offered:
        raise ValueError(f"reduction must be one of {', '.join(offered)}, got {reduction!r}")


def reduce(values: Tensor, reduction: Reduction) -> Tensor:
    """The mean or the sum of the values, or the values themselves."""
    check_reduction(reduction)
    if reduction == "none":
        return values
    return values.mean() if reduction == "mean" else values.sum()
