"""What a published training is made of: a network, pairs, a step, and settings that can be shortened together."""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from os import PathLike
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from restorekit._check import check_integer
from restorekit.data import RandomCropPairs
from restorekit.data._pictures import Pictures, Source, check_pictures
from restorekit.data.folder import as_pictures
from restorekit.image import rgb_to_y
from restorekit.train._pair import Augment
from restorekit.train.keyed import Key
from restorekit.train.progressive import ProgressiveStage
from restorekit.train.pseudo_pairs import CROPS
from restorekit.train.schedule import Schedule, cosine_restarts
from restorekit.train.supervised import Loss, Step, supervised

Given = str | PathLike[str] | Pictures
Degrade = Callable[[Tensor, torch.Generator | None], Tensor]


@dataclass(frozen=True)
class Drops:
    """A learning rate that is multiplied by ``factor`` at each of the milestones; without any, a constant one."""

    milestones: tuple[int, ...] = ()
    factor: float = 0.5

    def schedule(self) -> Schedule:
        return lambda step: self.factor ** bisect_right(self.milestones, step)

    def scaled(self, ratio: float) -> "Drops":
        return replace(self, milestones=_scaled(self.milestones, ratio))


@dataclass(frozen=True)
class Restarts:
    """A learning rate by ``cosine_restarts``."""

    periods: tuple[int, ...]
    weights: tuple[float, ...]
    floors: tuple[float, ...]

    def schedule(self) -> Schedule:
        return cosine_restarts(self.periods, self.weights, self.floors)

    def scaled(self, ratio: float) -> "Restarts":
        ends = _scaled(tuple(accumulate(self.periods)), ratio)
        return replace(self, periods=tuple(max(1, end - start) for start, end in pairwise((0, *ends))))


@dataclass(frozen=True, kw_only=True)
class Preset:
    """The published training of a network.

    | recipe         | how to train with preset p                                                             |
    |----------------|----------------------------------------------------------------------------------------|
    | "fit"          | ``fit(p.model(), p.pairs(x), step=p.step(), **p.options())``                           |
    | "adversarial"  | ``fit(net, p.pairs(x), step=adversarial(d, content=l, **p.arguments), **p.options())`` |
    | "progressive"  | ``progressive(p.model(), p.pairs(x), **p.options())``                                  |
    | "two_stage"    | ``two_stage(p.model(), p.pairs({"noise": x, ...}), **p.options())``                    |
    | "pseudo_pairs" | ``pseudo_pairs(p.model(), x, **p.options())``                                          |
    | "zero_shot"    | ``zero_shot(image, **p.options())``                                                    |

    Options that are given besides must not be in ``options()``; ``dataclasses.replace`` changes those that are, and
    every other part, such as the network, the scale or the augmentation.

    Args:
        name: Its name.
        source: Where the numbers are from, and what of the published training is not in them.
        network: Builds the network, new weights and all.
        patch_size: Side of the crops of lq, pixels.
        batch_size: Items in a batch; several where the recipe has several stages with batches of their own.
        steps: Number of steps, or of each stage.
        recipe: The function of ``restorekit.train`` that trains.
        scales: Factors of the network, one of which each batch is for.
        learning_rate: Adam's learning rate.
        curve: How the learning rate changes over the steps of all stages.
        betas: Adam's decays.
        weight_decay: See `fit`.
        clip_norm: See `fit`.
        ema_decay: See `fit`.
        rate_factors: See `fit`.
        loss: ``(prediction, target) -> scalar``.
        luminance: Whether the network sees the luma of the pictures (BT.601, 16 to 235) instead of their colours.
        degrade: ``(x, generator) -> lq`` where the step damages the clean pictures itself, anew each time.
        augment: ``(lq, hq, *, generator) -> (lq, hq)``, besides the flips and rotations of the crops.
        arguments: What the recipe takes beside all this.

    Example:
        >>> from restorekit.train import preset
        >>> preset("edsr").steps, preset("edsr").shortened(300).options()["schedule"](200)
        (300000, 0.5)
    """

    name: str
    source: str
    network: Callable[[], nn.Module]
    patch_size: int
    batch_size: int | tuple[int, ...]
    steps: int | tuple[int, ...]
    recipe: str = "fit"
    scales: tuple[int, ...] = (4,)
    learning_rate: float = 1e-4
    curve: Drops | Restarts = field(default_factory=Drops)
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip_norm: float | None = None
    ema_decay: float | None = None
    rate_factors: Mapping[str, float] = field(default_factory=dict)
    loss: Loss = F.l1_loss
    luminance: bool = False
    degrade: Degrade | None = None
    augment: Augment | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def model(self) -> nn.Module:
        """Build the network; its weights are drawn from torch's default generator."""
        return self.network()

    def pairs(
        self, pictures: Given | Mapping[Key, Given], *, length: int = CROPS, seed: int = 0
    ) -> RandomCropPairs | dict[Key, RandomCropPairs]:
        """Crops for training, turned and mirrored.

        Args:
            pictures: Clean pictures, a folder of them by its path, or anything that ``data.RandomCropPairs`` takes;
                pairs where lq is damaged in a way that the preset does not make itself. Or several of these by scale,
                or by degradation.
            length: Number of crops, in each data set.
            seed: Of all draws.

        Returns:
            A data set, or one for each scale or degradation.

        Raises:
            ValueError: The recipe makes its own pairs, pairs are missing or not needed, or see ``RandomCropPairs``.
        """
        if self.recipe in {"pseudo_pairs", "zero_shot"}:
            raise ValueError(f"preset {self.name!r} trains by {self.recipe}, which takes the pictures themselves")

        def crops(given: Given, scale: int) -> RandomCropPairs:
            opened = as_pictures(given)
            self._check_kind(opened, scale)
            return RandomCropPairs(opened, patch_size=self.patch_size, scale=scale, length=length, seed=seed)

        if isinstance(pictures, Mapping):
            return {key: crops(x, key if isinstance(key, int) else self.scales[0]) for key, x in pictures.items()}
        if self.recipe == "two_stage":
            raise ValueError(f"preset {self.name!r} needs pictures by degradation, such as {{'noise/25': ...}}")
        if len(self.scales) > 1:
            return {scale: crops(pictures, scale) for scale in self.scales}
        return crops(pictures, self.scales[0])

    def step(self) -> Step:
        """The step for `fit`.

        Raises:
            ValueError: The recipe is another one than "fit".
        """
        if self.recipe != "fit":
            raise ValueError(f"preset {self.name!r} trains by {self.recipe}; see Preset for how to call it")
        prepare = _Prepare(self.luminance, self.degrade, self.augment)
        return supervised(loss=self.loss, augment=prepare if prepare.does_something else None)

    def options(self) -> dict[str, Any]:
        """What the training function takes by name."""
        if self.recipe == "zero_shot":
            return {"steps": self.steps, "batch_size": self.batch_size, "loss": self.loss, **self.arguments}
        options = {
            "learning_rate": self.learning_rate,
            "schedule": self.curve.schedule(),
            "betas": self.betas,
            "weight_decay": self.weight_decay,
            "clip_norm": self.clip_norm,
            "ema_decay": self.ema_decay,
        }
        if self.recipe in {"fit", "adversarial"}:
            options |= {"rate_factors": dict(self.rate_factors)}
        else:
            options |= {"loss": self.loss, "augment": self.augment, **self.arguments}
        return options | self._lengths()

    def shortened(self, steps: int) -> "Preset":
        """The same training in fewer steps over all stages, or more: all milestones move along.

        Raises:
            ValueError: Fewer steps than stages.
        """
        stages = self.steps if isinstance(self.steps, tuple) else (self.steps,)
        check_integer(steps, "steps", len(stages))
        ratio = steps / sum(stages)
        ends = _scaled(tuple(accumulate(stages)), ratio)
        new = tuple(max(1, end - start) for start, end in pairwise((0, *ends)))
        return replace(self, steps=new if isinstance(self.steps, tuple) else new[0], curve=self.curve.scaled(ratio))

    def _lengths(self) -> dict[str, Any]:
        """Steps and batches, in the way of the recipe."""
        if isinstance(self.batch_size, tuple):
            assert isinstance(self.steps, tuple)
            return {"stages": tuple(map(ProgressiveStage, self.steps, self.batch_size))}
        patch = {"patch_size": self.patch_size} if self.recipe == "pseudo_pairs" else {}
        return {"steps": self.steps, "batch_size": self.batch_size, **patch}

    def _check_kind(self, pictures: Pictures, scale: int) -> None:
        check_pictures(pictures)
        pairs = pictures.scale is not None if isinstance(pictures, Source) else isinstance(pictures[0], tuple)
        if pairs and self.degrade is not None:
            raise ValueError(
                f"preset {self.name!r} damages clean pictures itself; for pairs (lq, hq) use "
                "dataclasses.replace(preset, degrade=None)"
            )
        if not pairs and self.degrade is None and scale == 1:
            raise ValueError(
                f"preset {self.name!r} needs pairs (lq, hq): a DegradedSet, a PairedFolder or a list of tuples"
            )


class _Prepare:
    """What happens to crops on their way into the network."""

    def __init__(self, luminance: bool, degrade: Degrade | None, augment: Augment | None) -> None:
        self.luminance, self.degrade, self.augment = luminance, degrade, augment
        self.does_something = luminance or degrade is not None or augment is not None

    def __call__(self, lq: Tensor, hq: Tensor, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        if self.luminance:
            lq, hq = rgb_to_y(lq), rgb_to_y(hq)
        if self.degrade is not None:
            lq = self.degrade(lq, generator)
        return (lq, hq) if self.augment is None else self.augment(lq, hq, generator=generator)


def _scaled(counts: tuple[int, ...], ratio: float) -> tuple[int, ...]:
    return tuple(max(1, round(count * ratio)) for count in counts)
