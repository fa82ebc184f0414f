"""Training of the discriminators that the MDF loss looks through, on one picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from restorekit._random import seeded
from restorekit.models import SinGANDiscriminator
from restorekit.train._mdf.networks import Networks, for_unit_range
from restorekit.train._mdf.plan import Plan, seed_pictures
from restorekit.train._mdf.pyramid import Pyramid
from restorekit.train._mdf.run import BETAS, LEARNING_RATE, Run, psnr
from restorekit.train._mdf.task import Task, make_task
from restorekit.train.checkpoint import Checkpoints, State
from restorekit.train.interrupt import Interrupt


@dataclass(frozen=True)
class MDFCurves:
    """How the training of one scale went, a number for each iteration.

    Args:
        distance: Mean score of the real picture less that of the restored one, as the discriminator had it.
        penalty: How far the discriminator's slope was from 1, before its weight.
        psnr: PSNR of the restored picture in dB.

    Example:
        >>> max(MDFCurves(distance=(0.1, 0.3), penalty=(0.9, 0.8), psnr=(20.0, 21.5)).psnr)
        21.5
    """

    distance: tuple[float, ...]
    penalty: tuple[float, ...]
    psnr: tuple[float, ...]


@dataclass(frozen=True)
class MDFFit:
    """What a run leaves.

    Args:
        discriminators: One for each scale, coarse to fine, for pictures in [0, 1]; in evaluation mode, without
            gradients for their parameters, on the device of the seed picture. ``losses.MDFLoss`` and
            ``models.save_discriminators`` take them.
        curves: How the training of each scale went.

    Example:
        >>> MDFFit(discriminators=(SinGANDiscriminator(channels=4).eval(),), curves=()).discriminators[0].training
        False
    """

    discriminators: tuple[SinGANDiscriminator, ...]
    curves: tuple[MDFCurves, ...]


def fit_mdf(
    image: Tensor | Sequence[Tensor],
    task: str | Callable[..., Tensor],
    *,
    num_scales: int = 8,
    iterations: int = 1000,
    max_side: int = 250,
    min_side: int = 25,
    penalty_weight: float = 0.3,
    mixed_precision: Literal["bf16"] | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    seed: int = 0,
    progress: bool = True,
) -> MDFFit:
    """Train a discriminator for each scale of one picture to see what a task leaves to be restored.

    The picture is shrunk to ``num_scales`` sizes. From the coarsest on, a generator restores the picture of a scale
    from the result of the scale before, which is enlarged and distorted by the task; a discriminator learns to tell
    the restored picture from the real one (WGAN with a penalty on its slope), and the generator to be taken for real,
    and to be near. Both start from those of the scale before where these are as wide: 32 channels in the first four
    scales, 64 in the next four, 128 beyond.

    Everything random is a function of ``seed`` and the number of the iteration, and torch's own generators stay as
    they are. A run that was stopped and is called again with the same ``checkpoint`` ends, on a CPU, with the same
    bits as one that was not. Ctrl-C and SIGTERM let the iteration end, write the checkpoint and raise
    ``KeyboardInterrupt`` or ``SystemExit(143)``; a second one acts at once.

    Args:
        image: Picture (1, 3, H, W) in [0, 1]; the training runs on its device. Or several of them: a batch, or a list
            of such pictures of any sizes, of which the iterations take one after the other.
        task: "sisr", bicubic enlargement from between a half and a quarter of the size; "denoising", Gaussian noise of
            sigma 0 to 25/255; "jpeg", quality 5 to 20; each drawn anew in every step. Or a function that maps pictures
            (1, 3, h, w) in [0, 1] to pictures of the same shape, such as a composition of ``degrade``. One that takes a
            ``generator`` draws anew in every step; another is asked once for each scale, so it must not draw.
        num_scales: Number of sizes, at least 2.
        iterations: Iterations for each scale: three steps of the discriminator and three of the generator.
        max_side: Longer side of the finest size in pixels, at least ``min_side``; smaller pictures are not enlarged.
        min_side: Shorter side of the coarsest size in pixels, at least 11.
        penalty_weight: Weight of the penalty on the discriminator's slope. The less, the more its last layer weighs in
            the loss.
        mixed_precision: ``"bf16"`` runs the networks under bfloat16 autocast, with float32 weights.
        checkpoint: File to go on from if it exists, and to write. A function for ``task`` is compared by its ``repr``
            alone, without addresses.
        checkpoint_every: Iterations, over all scales, between two checkpoints; the last one always writes one.
        seed: Seed of the run, at least 0.
        progress: Whether to show a bar with the scale, the discriminator's distance and penalty, and the PSNR of the
            restored picture.

    Returns:
        The discriminators, coarse to fine, and the curves of the training.

    Raises:
        TypeError: If ``image`` is no floating-point picture or list of them, or ``task`` neither a name nor a function
            of pictures.
        ValueError: If a picture is not RGB, not finite numbers in [0, 1], or too small for the sizes, the task is
            unknown, changes a picture's size or makes NaN of it, a setting is out of range, or the checkpoint is
            damaged or belongs to another run.
        OSError: If the checkpoint's folder does not exist, or writing it fails; the file before stays.
        FloatingPointError: If a loss is not finite, or a weight when a checkpoint is due; the checkpoint stays.

    Example:
        >>> run = fit_mdf(torch.rand(1, 3, 20, 26), "sisr", num_scales=2, iterations=1, min_side=12, progress=False)
        >>> run.discriminators[0](torch.rand(1, 3, 40, 40)).shape
        torch.Size([1, 1, 30, 30])

    Source:
        Mustafa et al., WACV 2022, section 3 (supplement, section 4.2, for several pictures), whose training code and
        strengths of noise and JPEG were not published: those here are ours. For super-resolution the authors add
        nothing to the enlargement from scale to scale (here: ``degrade.Identity()``); then generators came to know the
        picture by heart, and the loss answered to brightness rather than to blur. Sizes, losses and optimiser are those
        of SinGAN's code (Shaham et al., ICCV 2019), but for the weight of the penalty, 0.1 there, with which the
        denoising loss led noise to a picture by half as many dB in 25 steps; there, the number of scales follows from
        a ratio near 0.75, here the ratio from the number, and there are 2000 iterations for each, where the counters in
        the published discriminators tell of 1000 (3000 for JPEG). The first scale restores the coarsest picture from
        one step smaller, not from noise. Training is in [-1, 1]; afterwards, the range goes into the first convolution.
    """
    plan = Plan(num_scales, iterations, max_side, min_side, penalty_weight, mixed_precision, seed)
    pictures, distortion = seed_pictures(image), make_task(task)
    pyramids = plan.pyramids(pictures)
    _try_out(distortion, pyramids)
    settings, path = plan.settings(pictures, distortion), None if checkpoint is None else Path(checkpoint)
    checkpoints = Checkpoints(path, checkpoint_every, lambda step: settings)
    networks = Networks(num_scales, seed).to(pictures[0].device)
    state = State(networks, torch.optim.Adam(networks.parameters(), lr=LEARNING_RATE, betas=BETAS), None, [])
    with Interrupt() as interrupt, torch.enable_grad():
        game = (penalty_weight, seed, mixed_precision == "bf16")
        run = Run(networks, pyramids, distortion, iterations, *game, checkpoints, interrupt, progress)
        checkpoints.resume(state, steps=run.steps)
        run.go(state)
    return MDFFit(tuple(map(for_unit_range, networks.discriminators)), _curves(state, iterations))


def _try_out(task: Task, pyramids: Sequence[Pyramid]) -> None:
    """Let the task run at every size: what is wrong with it must not show after hours."""
    with torch.no_grad():
        for level in chain.from_iterable(pyramid.levels for pyramid in pyramids):
            if not bool(task(level, seeded(0)).isfinite().all()):
                size = tuple(level.shape[-2:])
                raise ValueError(f"task must return finite numbers, {task.name} made others from a picture of {size}")


def _curves(state: State, iterations: int) -> tuple[MDFCurves, ...]:
    scales = [state.losses[start : start + iterations] for start in range(0, state.step, iterations)]
    columns = [tuple(zip(*notes, strict=True)) for notes in scales]
    return tuple(MDFCurves(distance, penalty, tuple(map(psnr, error))) for distance, penalty, error in columns)
