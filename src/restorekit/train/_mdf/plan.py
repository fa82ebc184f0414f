"""The settings and the pictures of a run, checked."""

import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from restorekit._check import check_batch, check_integer, check_interval
from restorekit.models import SinGANDiscriminator
from restorekit.train._mdf.pyramid import Pyramid, make_pyramid
from restorekit.train._mdf.task import Task
from restorekit.train.plan import Setting


@dataclass(frozen=True)
class Plan:
    """The arguments of `fit_mdf` that decide the weights, besides pictures and task."""

    num_scales: int
    iterations: int
    max_side: int
    min_side: int
    penalty_weight: float
    mixed_precision: str | None
    seed: int

    def __post_init__(self) -> None:
        check_integer(self.num_scales, "num_scales", 2)
        check_integer(self.iterations, "iterations", 1)
        check_integer(self.min_side, "min_side", SinGANDiscriminator.minimum_side)
        check_integer(self.max_side, "max_side", self.min_side)
        check_interval(self.penalty_weight, "penalty_weight", 0, sys.float_info.max)
        check_integer(self.seed, "seed", 0)
        if self.mixed_precision not in (None, "bf16"):
            raise ValueError(f"mixed_precision must be 'bf16' or None, got {self.mixed_precision!r}")

    def pyramids(self, pictures: Sequence[Tensor]) -> list[Pyramid]:
        """Each picture at all sizes."""
        sizes = (self.num_scales, self.max_side, self.min_side)
        return [make_pyramid(picture, *sizes, name=f"picture {i}") for i, picture in enumerate(pictures)]

    def settings(self, pictures: Sequence[Tensor], task: Task) -> dict[str, Setting]:
        """Describe the run, for a checkpoint to be compared with."""
        return {**dataclasses.asdict(self), "pictures": _fingerprint(pictures), "task": task.name}


def seed_pictures(image: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """The seed pictures one by one, (1, 3, H, W) in float32."""
    if isinstance(image, Tensor):
        _check_colour(image, "image")
        pictures = [image[i : i + 1] for i in range(len(image))]
    elif isinstance(image, Sequence) and not isinstance(image, str) and len(image) > 0:
        pictures = list(image)
    else:
        got = "an empty list" if isinstance(image, Sequence) and len(image) == 0 else type(image).__name__
        raise TypeError(f"image must be a tensor (N, 3, H, W) or a list of tensors (1, 3, H, W), got {got}")
    for i, picture in enumerate(pictures):
        _check_picture(picture, f"picture {i}", pictures[0].device)
    return [picture.detach().float() for picture in pictures]


def _check_picture(picture: Tensor, name: str, device: torch.device) -> None:
    _check_colour(picture, name)
    if len(picture) != 1:
        raise ValueError(f"{name} must be one picture (1, 3, H, W), got shape {tuple(picture.shape)}; split the batch")
    if picture.device != device:
        raise ValueError(f"the pictures must lie on one device, got {name} on {picture.device} and others on {device}")
    if not bool(((picture >= 0) & (picture <= 1)).all()):
        raise ValueError(
            f"{name} must hold finite numbers in [0, 1], got NaN or others; image.to_tensor converts, clamp(0, 1) clips"
        )


def _check_colour(picture: Tensor, name: str) -> None:
    check_batch(picture, name)
    if picture.shape[1] != 3:
        raise ValueError(
            f"{name} must have 3 channels, got shape {tuple(picture.shape)}; repeat grey with expand(-1, 3, -1, -1), "
            "cut off an alpha channel with [:, :3]"
        )


def _fingerprint(pictures: Sequence[Tensor]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for picture in pictures:
        digest.update(repr(tuple(picture.shape)).encode())
        digest.update(picture.cpu().reshape(-1).numpy().data)
    return digest.hexdigest()
