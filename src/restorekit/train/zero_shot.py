"""ZSSR: a network that is trained on the one picture that it enlarges."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from restorekit._check import check_batch, check_integer
from restorekit.models import Restorer
from restorekit.train._pair import Augment
from restorekit.train._zero_shot.course import Course, checked_network, new_network, on_training_device
from restorekit.train._zero_shot.settings import ZERO_SHOT_SETTINGS, ZeroShotSettings, find_settings
from restorekit.train._zero_shot.stage import Stage, stages
from restorekit.train.checkpoint import stage_path
from restorekit.train.fit import FitOptions, FitResult, fit
from restorekit.train.supervised import Loss, supervised

__all__ = ["ZERO_SHOT_SETTINGS", "ZeroShotResult", "ZeroShotSettings", "zero_shot"]

_MAX_SCALE = 8


@dataclass(frozen=True)
class ZeroShotResult:
    """What a run leaves.

    Args:
        image: The enlarged picture (1, C, scale * H, scale * W) in [0, 1], of the dtype and on the device of the given.
        model: The trained network, which corrects enlarged pictures.
        losses: Loss of every step, for each factor that was solved.
        measured: Mean squared errors of the given picture restored from its own shrunk version, likewise.

    Example:
        >>> from restorekit.models import zssr
        >>> ZeroShotResult(torch.zeros(1, 3, 8, 8), zssr(1), losses=((0.2, 0.1), (0.1,)), measured=((0.1,), ())).steps
        3
    """

    image: Tensor
    model: Restorer
    losses: tuple[tuple[float, ...], ...]
    measured: tuple[tuple[float, ...], ...]

    @property
    def steps(self) -> int:
        """Number of steps done, over all factors."""
        return sum(map(len, self.losses))


def zero_shot(
    image: Tensor,
    *,
    scale: int = 2,
    model: Restorer | None = None,
    settings: str | ZeroShotSettings | None = None,
    kernel: Tensor | Sequence[Tensor] | None = None,
    steps: int = 3000,
    batch_size: int = 1,
    loss: Loss = F.l1_loss,
    augment: Augment | None = None,
    mixed_precision: Literal["bf16"] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    seed: int = 0,
    progress: bool = True,
) -> ZeroShotResult:
    """Enlarge a picture by a network that learns from nothing but this picture.

    The network learns to restore crops of the picture (fathers) from their shrunk versions (sons), turned and warped at
    random. Every 50 steps it restores the whole picture from its son; when a line through the last of these errors
    does not fall, the learning rate does, and after three falls it is done. Then it enlarges the picture in 8 flips
    and rotations; each result is corrected to have the picture as its shrunk version, and so is their median.

    Everything random is a function of ``seed`` and the number of the step. A run that was stopped and is called again
    with the same ``checkpoint`` ends with the same bits as one that was not; results of factors that were solved are
    computed anew from their weights. Signals, several processes and errors are those of `fit`.

    Args:
        image: Picture (1, 3, H, W) or (1, 1, H, W) in [0, 1], of any size from 1 px; no transparency. One with noise
            should be denoised first, or else be enlarged with the settings "real".
        scale: How many times larger, from 2 to 8.
        model: Network of scale 1 to train in place; by default the published ``models.zssr``. Its weights are faster
            to train channels last: ``model.to(memory_format=torch.channels_last)``.
        settings: A name of ``ZERO_SHOT_SETTINGS``, or settings of your own; None for "kernel" where a kernel is given,
            "doubling" for a scale of 4, and "default" otherwise.
        kernel: Kernel (kh, kw) that shrank the picture, of sum 1, correlated, not convolved; it is moved to lie in the
            middle. With gradual settings one for each factor, of the size that belongs to that factor. None for the
            bicubic one.
        steps: Most steps for each factor.
        batch_size: Crops in each step.
        loss: ``(prediction, target) -> scalar``.
        augment: ``(lq, hq, *, generator) -> (lq, hq)`` for the crops of a step.
        mixed_precision: ``"bf16"`` trains and runs the network in bfloat16, with float32 weights and pictures.
        checkpoint: File to go on from if it exists, and to write; each factor has its own beside it, "run.stage0.pt".
            Those of another picture, kernel or other settings show another seed, and are refused.
        checkpoint_every: Steps between two checkpoints; the last step always writes one.
        seed: Seed of the run, at least 0.
        progress: Whether to show a bar with loss and learning rate.

    Returns:
        The enlarged picture, the network, and how the training went.

    Raises:
        ImportError: If accelerate is not installed.
        TypeError: If ``image`` or ``kernel`` is no floating-point tensor, or ``model`` no network of this library.
        ValueError: If the picture has another shape or values outside [0, 1], the network another scale or number of
            channels, the kernel another rank or sum, or a setting is out of range; or the checkpoint is damaged or
            belongs to another run.
        OSError: If the checkpoint's folder does not exist, or writing it fails.
        FloatingPointError: If a loss is not finite; the checkpoint stays as it was.

    Example:
        >>> from restorekit.models import zssr
        >>> picture, network = torch.rand(1, 3, 20, 26), zssr(1, channels=8, depth=2)
        >>> zero_shot(picture, model=network, steps=2, progress=False).image.shape
        torch.Size([1, 3, 40, 52])

    Source:
        Shocher, Cohen and Irani, CVPR 2018, and the authors' code, whose crops, shrinking, learning rate, ensemble and
        back-projection these are. Crops beyond the border of a picture are black, as there. What differs: Adam starts
        anew at each factor; the noise of the son that errors are measured with is drawn once for a factor; that code
        also enlarges the whole picture at each measurement, for its plots; kernels of even size lie half a pixel
        further there; OpenCV rounds warped positions to 1/32 px; numpy before 1.16, which Python 2 had, divided the
        residuals of a line through 5 points by 1, not 3, so that the same falls come with ``slope_ratio=0.87``: a third
        fewer steps and, with crops of 64 px, 0.7 dB less for the butterfly of Set5 at 2. Published are scales of 2
        alone; the thesis (Tables 5.1 and 5.4) enlarges by 4 and does not say how. To 4 over 2 gave 0.7 and 0.3 dB more
        for the butterfly and the baby than to 4 at once, with as many steps in all.
    """
    picture = _checked_picture(image)
    _check_numbers(scale, seed)
    chosen = find_settings(_usual(scale, kernel) if settings is None else settings)
    parts, channels = stages(chosen, scale, kernel), picture.shape[1]
    network = new_network(channels, seed) if model is None else checked_network(model, channels)
    dtype = torch.bfloat16 if mixed_precision else torch.float32
    course = Course(picture, network, chosen, dtype, seed, parts)
    asked: FitOptions = {"mixed_precision": mixed_precision, "checkpoint_every": checkpoint_every, "progress": progress}
    options: FitOptions = {**course.options(), **asked}
    train = partial(fit, steps=steps, batch_size=batch_size, step=supervised(loss=loss, augment=augment), **options)
    with on_training_device(network):
        fits = [_solve(course, part, train, stage_path(checkpoint, part.number), steps) for part in parts]
    losses, measured = zip(*((one.losses, one.measured) for one in fits), strict=True)
    return ZeroShotResult(course.solved[parts[-1].factors].to(image), network, losses, measured)


def _solve(
    course: Course, part: Stage, train: Callable[..., FitResult], checkpoint: Path | None, steps: int
) -> FitResult:
    """Train for a factor, then enlarge."""
    later = (steps,) if part.number else ()  # the first factor alone may be trained for longer
    seed = course.run_seed(part, *later)
    done = train(course.network, course.pairs(part), measure=course.measure(part), checkpoint=checkpoint, seed=seed)
    course.enlarge(part)
    return done


def _checked_picture(image: Tensor) -> Tensor:
    """The picture (1, C, H, W) as float32, in [0, 1]."""
    check_batch(image, "image")
    if len(image) != 1 or image.shape[1] not in (1, 3):
        raise ValueError(
            f"image must be one picture (1, 3 or 1, H, W), got shape {tuple(image.shape)}; split a batch, and cut off "
            "an alpha channel with [:, :3]"
        )
    if not bool(((image >= 0) & (image <= 1)).all()):
        raise ValueError(
            "image must hold finite numbers in [0, 1], got NaN or others; image.to_tensor converts, clamp(0, 1) clips"
        )
    return image.detach().float()


def _usual(scale: int, kernel: Tensor | Sequence[Tensor] | None) -> str:
    if kernel is not None:
        return "kernel"
    return "doubling" if scale == 4 else "default"


def _check_numbers(scale: int, seed: int) -> None:
    check_integer(scale, "scale", 2)
    check_integer(seed, "seed", 0)
    if scale > _MAX_SCALE:
        raise ValueError(f"scale must be at most {_MAX_SCALE}, got {scale}")
