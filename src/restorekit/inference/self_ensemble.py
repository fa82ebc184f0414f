"""Averaging over the flips and rotations of the input."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from restorekit._check import check_batch
from restorekit.image import DIHEDRAL, dihedral, dihedral_inverse
from restorekit.inference._running import evaluating


def self_ensemble(model: nn.Module | Callable[..., Tensor], x: Tensor, *, scale: int | None = None) -> Tensor:
    """Restore all 8 flips and rotations of a picture, turn the results back and average them.

        y = 1/8 sum_k T_k^-1(model(T_k(x)))

    Costs 8 times the work and no more memory than one more result. Averages floats, before any rounding.

    Args:
        model: Network, run in evaluation mode, or any function of pictures.
        x: Pictures (N, C, H, W) in [0, 1], on the network's device.
        scale: Factor of a multi-scale network.

    Returns:
        Restored pictures (N, C, scale * H, scale * W), without graph.

    Raises:
        TypeError: ``x`` is no floating-point tensor, or ``model`` cannot be called.
        ValueError: A wrong rank, or a scale that the network does not hold.

    Example:
        >>> import restorekit
        >>> self_ensemble(restorekit.models.carn_m(scale=2, channels=8), torch.rand(1, 3, 5, 7)).shape
        torch.Size([1, 3, 10, 14])

    Source:
        Timofte, Rothe and Van Gool, CVPR 2016; "CARN+" in the thesis' chapter 3. EDSR averages floats as here, the
        progressive CARN averaged pictures already cut to 8 bits.
    """
    check_batch(x)
    if not callable(model):
        raise TypeError(f"model must be a network or a function of pictures, got {type(model).__name__}")
    options = {} if scale is None else {"scale": scale}
    total: Tensor | None = None
    with evaluating(model) if isinstance(model, nn.Module) else torch.no_grad():
        for k in DIHEDRAL:
            restored = dihedral_inverse(model(dihedral(x, k), **options), k)
            total = restored if total is None else total.add_(restored)
    assert total is not None
    return total.div_(len(DIHEDRAL))
