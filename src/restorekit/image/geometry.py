"""The eight flips and rotations of a picture (the dihedral group of the square) and their inverses."""

import torch
from torch import Tensor

DIHEDRAL = range(8)
"""Numbers of the 8 flips and rotations of a picture, for ``dihedral``."""


def _check(x: Tensor, k: int) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"x must be a torch.Tensor (..., H, W), got {type(x).__name__}")
    if x.ndim < 2:
        raise ValueError(f"x must have at least 2 dimensions (..., H, W), got shape {tuple(x.shape)}")
    if isinstance(k, bool) or not isinstance(k, int):
        raise TypeError(f"k must be an integer in 0..7, got {k!r}")
    if k not in DIHEDRAL:
        raise ValueError(f"k must be in 0..7, got {k}")


def dihedral(x: Tensor, k: int) -> Tensor:
    """Turn the last two axes by ``k % 4`` quarter turns counter-clockwise, then mirror left-right if ``k >= 4``.

    Args:
        x: Pictures (..., H, W), any dtype.
        k: Which of the eight, one of ``DIHEDRAL``; 0 is the identity.

    Returns:
        A new tensor (..., H, W), or (..., W, H) for odd ``k``; it shares no memory with ``x``.

    Raises:
        TypeError: ``x`` is not a tensor or ``k`` not an integer.
        ValueError: ``x`` has fewer than 2 dimensions or ``k`` is outside 0..7.

    Example:
        >>> x = torch.tensor([[1, 2], [3, 4]])
        >>> dihedral(x, 1).tolist(), dihedral(x, 4).tolist()
        ([[2, 4], [1, 3]], [[2, 1], [4, 3]])
    """
    _check(x, k)
    turned = torch.rot90(x, k % 4, (-2, -1))
    return turned.flip(-1) if k >= 4 else turned


def dihedral_inverse(x: Tensor, k: int) -> Tensor:
    """Undo ``dihedral`` with the same ``k``.

    Args:
        x: Pictures (..., H, W) that ``dihedral(..., k)`` made, or anything of their size.
        k: Which of the eight, one of ``DIHEDRAL``.

    Returns:
        A new tensor (..., H, W), or (..., W, H) for odd ``k``; it shares no memory with ``x``.

    Raises:
        TypeError: ``x`` is not a tensor or ``k`` not an integer.
        ValueError: ``x`` has fewer than 2 dimensions or ``k`` is outside 0..7.

    Example:
        >>> x = torch.tensor([[1, 2], [3, 4]])
        >>> all(torch.equal(dihedral_inverse(dihedral(x, k), k), x) for k in DIHEDRAL)
        True
    """
    _check(x, k)
    # A turn followed by a mirror is a reflection, which undoes itself.
    return dihedral(x, k if k >= 4 else -k % 4)
