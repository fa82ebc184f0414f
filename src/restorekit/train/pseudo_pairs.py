"""SimUSR's training: super-resolution from low-resolution pictures alone."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

import torch.nn.functional as F
from torch import Tensor

from restorekit._check import check_integer
from restorekit.augment import Mixture
from restorekit.data import ImageFolder, PseudoPairs, RandomCropPairs
from restorekit.data._pictures import Picture
from restorekit.models import Restorer
from restorekit.train._pair import Augment
from restorekit.train.fit import FitOptions, FitResult, fit
from restorekit.train.keyed import Key, Pairs
from restorekit.train.supervised import Loss, supervised

CROPS = 1 << 20
"""Crops that a training draws before it takes them again in another order."""


def pseudo_pairs(
    model: Restorer,
    pictures: str | os.PathLike[str] | ImageFolder | Sequence[Picture],
    *,
    steps: int,
    patch_size: int = 48,
    batch_size: int = 16,
    denoiser: Callable[[Tensor], Tensor] | None = None,
    denoised: str | os.PathLike[str] | None = None,
    loss: Loss = F.l1_loss,
    augment: Augment | None = None,
    checkpoint: str | Path | None = None,
    **options: Unpack[FitOptions],
) -> FitResult:
    """Train a super-resolution network in place on pictures of which no larger version exists.

    Each picture is the target of its own version shrunk by the network's factor, and the network is trained on random
    crops of these pairs as on any others. A network of several factors gets one of them in each batch, one with a
    desubpixel head inputs that are enlarged.

    A denoiser cleans the pictures that the network learns from, nothing else: the network learns to enlarge clean
    pictures, so that what it is to enlarge afterwards must be denoised first by the caller, with the same function.

    Args:
        model: Network that enlarges.
        pictures: Folder of low-resolution pictures, an ``ImageFolder``, or a sequence, as for ``data.PseudoPairs``.
        steps: Number of steps in all; those in the checkpoint count.
        patch_size: Side of the crops of the shrunk pictures, pixels.
        batch_size: Pairs per step over all processes together.
        denoiser: Function from (1, 3, H, W) in [0, 1] to the same shape, such as
            ``functools.partial(degrade.nlm_denoise, level=0.05)``, or one that calls a BM3D of your own.
        denoised: Folder that keeps the denoised pictures, for later runs, for the processes to share, and where there
            are more than fit into memory: without it, each worker process, factor and run denoises anew.
        loss: ``(prediction, target) -> scalar``, a mean over the batch.
        augment: ``(lq, hq, *, generator) -> (lq, hq)``, such as ``Mixture("sr")`` for a desubpixel head.
        checkpoint: File to go on from if it exists, and to write.
        **options: See `fit`.

    Returns:
        What `fit` returns.

    Raises:
        TypeError: ``model`` is no ``Restorer``, or ``pictures`` hold no pictures.
        ValueError: The network does not enlarge, a picture is too small, or see `fit`.
        OSError: The folder does not exist, or see `fit`.

    Example:
        >>> import restorekit, torch
        >>> net = restorekit.models.carn_m(scale=2, channels=8, blocks=1)
        >>> pseudo_pairs(net, [torch.rand(3, 20, 20)], steps=2, patch_size=8, batch_size=2, progress=False).steps
        2

    Source:
        Ahn's thesis, chapter 5 (SimUSR), which does not state patch, batch or length: the defaults are chapter 4's. It
        denoises by BM3D for NTIRE 2020, in training and before the network; ``data.PseudoPairs`` says how they shrink.
    """
    scales = _scales(model)
    check_integer(batch_size, "batch_size", 1)
    seed = options.get("seed", 0)

    def crops(scale: int) -> RandomCropPairs:
        # the crops keep what they read, so that the pairs need not
        source = PseudoPairs(pictures, scale=scale, denoiser=denoiser, denoised=denoised, cache_bytes=0)
        return RandomCropPairs(source, patch_size=patch_size, scale=scale, length=CROPS, seed=seed)

    sets: dict[Key, Pairs] = {scale: crops(scale) for scale in scales}
    return fit(
        model,
        sets if len(sets) > 1 else sets[scales[0]],
        steps=steps,
        batch_size=batch_size,
        step=supervised(loss=loss, augment=_enlarge() if augment is None and _is_folded(model) else augment),
        checkpoint=checkpoint,
        **options,
    )


def _scales(model: object) -> tuple[int, ...]:
    if not isinstance(model, Restorer):
        raise TypeError(f"model must be a Restorer, which knows its scale, got {type(model).__name__}")
    scales = (model.size_multiple,) if _is_folded(model) else model.scales
    if min(scales) < 2:
        raise ValueError(f"model must enlarge, got a {type(model).__name__} of scale {min(scales)}")
    return scales


def _is_folded(model: Restorer) -> bool:
    """Whether the network takes pictures that are enlarged already."""
    return model.config.get("head") == "desubpixel"


def _enlarge() -> Augment:
    """What enlarges inputs, and does nothing else."""
    return Mixture(["cutblur"], p=0.0)
