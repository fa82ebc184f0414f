"""Naturalness of a picture, without a reference."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from restorekit._check import check_interval
from restorekit.image import to_tensor
from restorekit.image.reading import SUFFIXES
from restorekit.metrics._natural_scene import BLOCK, FEATURES, block_count, block_features, check_picture
from restorekit.metrics.niqe_model import NiqeModel

Picture = str | os.PathLike[str] | Image.Image | NDArray[Any] | Tensor


@torch.no_grad()
def niqe(x: Tensor, model: NiqeModel, *, crop_border: int = 0) -> Tensor:
    """Natural image quality evaluator: how far the statistics of each picture are from those of clean ones.

        niqe = sqrt((m - m_x)^T ((C + C_x) / 2)^+ (m - m_x))

    with mean and covariance of 36 features of clean pictures (m, C) and of the blocks of this one. Lower is better, 0
    the best; there is no upper end. It compares methods over many pictures and says little about a single one. The
    picture is rounded to whole grey levels first, so there is no gradient. Computed in float64.

    Args:
        x: Pictures (N, 3, H, W) or (N, 1, H, W) in [0, 1] with at least two blocks of 96x96 px after the crop; rows
            and columns beyond the last whole block are left out. Of RGB the BT.601 studio luma (16 to 235) is taken,
            as BasicSR does; grey is taken as it is, 0 to 255.
        model: Clean pictures, from ``fit_niqe`` or ``NiqeModel.load``. Values from two models are not comparable.
        crop_border: Pixels left out on every side; super-resolution papers take the scale.

    Returns:
        One value per picture, (N,), at least 0. NaN for a picture that holds NaN or infinity, or less than two blocks
        that are not flat.

    Raises:
        TypeError: ``x`` is no real floating-point tensor, ``model`` no ``NiqeModel`` or ``crop_border`` no integer.
        ValueError: Other than 1 or 3 channels, or fewer than two blocks after the crop.

    Example:
        >>> model = NiqeModel(torch.zeros(36), torch.eye(36))
        >>> niqe(torch.rand(2, 3, 200, 100), model).shape
        torch.Size([2])

    Source:
        Mittal, Soundararajan and Bovik, "Making a completely blind image quality analyzer", 2013, and the authors'
        MATLAB code: shapes from the grid 0.2, 0.201, ..., 10, halving by ``imresize``. That code takes ``rgb2gray``,
        which is full-range: for numbers as from there, give ``0.2989 R + 0.5870 G + 0.1140 B`` as a grey picture and
        the authors' model. Differences from a local mean below 1e-9 grey levels count as 0; elsewhere rounding errors
        decide about flat areas.
    """
    if not isinstance(model, NiqeModel):
        raise TypeError(f"model must be a NiqeModel (fit_niqe makes one), got {type(model).__name__}")
    check_picture(x, crop_border)
    if block_count(x, crop_border) < 2:
        raise ValueError(
            f"niqe compares blocks of {BLOCK}x{BLOCK} pixels and needs at least two, got {tuple(x.shape[-2:])} "
            f"and crop_border={crop_border}"
        )
    mean, covariance = _gaussian(block_features(x, crop_border)[0])
    pooled = (model.covariance.to(x.device) + covariance) / 2
    defined = pooled.isfinite().all(-1).all(-1) & x.isfinite().flatten(1).all(1)
    # The pseudo-inverse refuses NaN for the whole batch.
    inverse = torch.linalg.pinv(torch.where(defined[:, None, None], pooled, 0.0))
    difference = mean - model.mean.to(x.device)
    distance = torch.einsum("ni,nij,nj->n", difference, inverse, difference).sqrt()
    return torch.where(defined, distance, torch.nan).to(torch.promote_types(x.dtype, torch.float32))


@torch.no_grad()
def fit_niqe(
    pictures: str | os.PathLike[str] | Iterable[Picture], *, sharpness: float = 0.75, progress: bool = False
) -> NiqeModel:
    """Learn what clean pictures look like, for ``niqe``.

    From each picture the blocks are taken whose mean local deviation is above ``sharpness`` times the largest of that
    picture: blocks that are out of focus say nothing about naturalness. Nothing is random; the same pictures give the
    same model in any order, up to rounding.

    Args:
        pictures: Folder whose picture files are read, sorted by name, without the folders inside it; or the pictures:
            paths, Pillow pictures, arrays or tensors as ``image.to_tensor`` takes them, a ``data.ImageFolder`` among
            others. Grey or RGB, at least 96 px along each side. The authors took 125, chosen for the purpose.
        sharpness: Share of the largest sharpness, 0 to 1, that a block must exceed.
        progress: Show a progress bar over the pictures.

    Returns:
        The model.

    Raises:
        NotADirectoryError: ``pictures`` is a path, but not of a folder.
        TypeError: Something that is no picture.
        ValueError: A folder without pictures; a picture that cannot be read, is too small, has alpha, NaN or infinity;
            or fewer than 37 sharp blocks in all, too few for the covariance of 36 features.

    Example:
        >>> noise = torch.rand(2, 3, 480, 480, generator=torch.Generator().manual_seed(0))
        >>> model = fit_niqe(noise)
        >>> bool(niqe(0.5 * noise, model)[0] > niqe(noise, model)[0])
        True

    Source:
        The authors' MATLAB code, with the luma of ``niqe`` where it takes ``rgb2gray``; the threshold is theirs.
    """
    check_interval(sharpness, "sharpness", 0.0, 1.0)
    bar = tqdm(_named(pictures), desc="fit", unit="picture", disable=not progress)
    rows = [_sharp_rows(picture, name, sharpness) for name, picture in bar]
    features = torch.cat([torch.empty(0, FEATURES, dtype=torch.float64), *rows])
    if len(features) <= FEATURES:
        raise ValueError(
            f"fit_niqe needs at least {FEATURES + 1} sharp blocks of {BLOCK}x{BLOCK} pixels, got {len(features)} from "
            f"{len(rows)} pictures; give more or larger pictures, or lower sharpness={sharpness}"
        )
    mean, covariance = _gaussian(features[None])
    return NiqeModel(mean[0], covariance[0])


def _gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (N, 36) and covariance (N, 36, 36) of features (N, blocks, 36).

    As MATLAB's ``nanmean`` and ``nancov``: the mean leaves single NaN out, the covariance blocks with any.
    """
    whole = ~features.isnan().any(-1, keepdim=True)
    count = whole.sum(1, keepdim=True)
    kept = torch.where(whole, features, 0.0)
    centred = torch.where(whole, kept - kept.sum(1, keepdim=True) / count, 0.0)
    # A single block has a covariance of NaN, none a mean of NaN.
    return features.nanmean(1), centred.mT @ centred / (count - 1)


def _named(pictures: str | os.PathLike[str] | Iterable[Picture]) -> Iterator[tuple[str, Picture]]:
    """The pictures, each with what it is called in messages."""
    if isinstance(pictures, (str, os.PathLike)):
        folder = Path(pictures)
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is not a folder; give a folder of pictures, or [path] for one")
        files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != "."]
        if not files:
            raise ValueError(f"{folder} holds no picture; expected files ending in {', '.join(sorted(SUFFIXES))}")
        yield from ((str(path), path) for path in sorted(files))
        return
    yield from ((f"picture {index}", picture) for index, picture in enumerate(pictures))


def _sharp_rows(picture: Picture, name: str, sharpness: float) -> Tensor:
    """Features (blocks, 36) of the sharp blocks."""
    try:
        x = to_tensor(picture)
        check_picture(x)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if not x.isfinite().all():
        raise ValueError(f"{name}: holds NaN or infinity")
    features, deviation = block_features(x)
    # Only a flat picture has sharp blocks with undefined features: nothing but rounding errors is above the threshold.
    sharp = (deviation > sharpness * deviation.amax(1, keepdim=True)) & ~features.isnan().any(-1)
    return features[sharp].cpu()
