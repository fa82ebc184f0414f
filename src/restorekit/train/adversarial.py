"""The step of a GAN: a discriminator learns to tell restored pictures from real ones, and the model to deceive it."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from restorekit._check import check_interval, check_pair
from restorekit.losses.gan import GANLoss, Logits
from restorekit.train._pair import Augment, at_scale, pair
from restorekit.train.supervised import Loss
from restorekit.train.turns import MODEL, Partner, Turns, frozen

_DISCRIMINATOR = "discriminator"


def adversarial(
    discriminator: nn.Module,
    *,
    content: Loss,
    gan: GANLoss | None = None,
    gan_weight: float = 5e-3,
    discriminator_rate: float | None = None,
    augment: Augment | None = None,
) -> Turns:
    """Make the step of a GAN for batches (lq, hq): the discriminator's turn, then the model's.

        restored = model(lq)
        discriminator:  gan.discriminator(D(hq), D(restored))
        model:          content(restored, hq) + gan_weight * gan.generator(D(restored))

    The model runs once. In its turn the discriminator, which has made its update, is frozen; in the discriminator's,
    no gradient reaches the model. Real and restored pictures go through it one after the other, so that BatchNorm
    takes the statistics of each kind on its own. `fit` trains it with an Adam of its own at the model's schedule,
    without clipping, and returns its losses as ``partner_losses["discriminator"]``. What the model's run leaves for its
    gradient is held until its turn: of the whole batch, also if `fit` takes it in parts.

    From several data sets by their scales, as `fit` takes them, the model is called with ``scale=key``.

    Args:
        discriminator: Maps pictures (N, C, H, W) to logits, or a list of them, such as
            ``models.MultiScaleDiscriminator()``. It is trained in place.
        content: ``(prediction, target) -> scalar``, a mean over the batch. PCARN's is ``losses.VGGLoss`` with
            ImageNet's weights, which ``models.load_trunk`` reads. One that holds a network must be on the device that
            `fit` trains on.
        gan: What both play for; ``GANLoss("vanilla")`` if None. With "relativistic" the discriminator judges the real
            pictures in the model's turn as well, and takes averages in each process alone; "wgan" gets no gradient
            penalty here.
        gan_weight: Weight of the model's part of it, at least 0.
        discriminator_rate: Learning rate of the discriminator; the model's if None.
        augment: ``(lq, hq, *, generator) -> (lq, hq)``, applied to the whole batch over all processes.

    Returns:
        The step for `fit`, for which PCARN has ``learning_rate=1e-4`` and ``clip_norm=10``.

    Raises:
        TypeError: ``discriminator`` is no module, ``gan`` no ``GANLoss``, or ``content`` no function; from the step,
            if a batch is not a pair.
        ValueError: A weight or rate out of range; from the step, if hq is not as large as what the model returns, or
            smaller than the discriminator's ``minimum_side``.

    Example:
        >>> from restorekit.models import PatchDiscriminator
        >>> step = adversarial(PatchDiscriminator(channels=4), content=torch.nn.functional.l1_loss)
        >>> list(step.partners)
        ['discriminator']

    Source:
        Ahn's thesis, section 2.3.2, and PCARN's code (``pcarn/solver_gan.py``), which has the weights 1 and 5e-3 (the
        thesis leaves them open), the order of the turns, Adam at 1e-4 for both without a schedule, and clipping to 10
        for the generator alone. The code runs the generator afresh for its own turn; as its weights have not changed in
        between, that gives the same pictures, unless the network draws (dropout) or keeps statistics (BatchNorm), and
        PCARN does neither. The discriminator's BatchNorm is in training mode in both turns, as there.
    """
    if not isinstance(discriminator, nn.Module):
        raise TypeError(f"discriminator must be a module, got {type(discriminator).__name__}")
    if not callable(content):
        raise TypeError(f"content must be a function of prediction and target, got {type(content).__name__}")
    gan = GANLoss() if gan is None else gan
    if not isinstance(gan, GANLoss):
        raise TypeError(f"gan must be a losses.GANLoss, got {type(gan).__name__}")
    check_interval(gan_weight, "gan_weight", 0, sys.float_info.max)
    partner = Partner(_OneCall(discriminator), learning_rate=discriminator_rate)
    minimum_side = int(getattr(discriminator, "minimum_side", 1))
    return _Adversarial({_DISCRIMINATOR: partner}, content, gan, gan_weight, augment, minimum_side)


class _OneCall(nn.Module):
    """Several batches through one network, one after the other, in one call: more would not do between processes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *batches: Tensor) -> list[Logits]:
        return [self.network(batch) for batch in batches]


@final
@dataclass(frozen=True)
class _Adversarial(Turns):
    partners: Mapping[str, Partner]
    content: Loss
    gan: GANLoss
    gan_weight: float
    augment: Augment | None
    minimum_side: int

    def turns(
        self, model: nn.Module, partners: Mapping[str, nn.Module], batch: Any, generator: torch.Generator
    ) -> Iterator[tuple[str, Tensor]]:
        predict, batch = at_scale(model, batch)
        lq, hq = pair(batch, self.augment, generator)
        self._check_side(lq, hq)
        restored = predict(lq)
        check_pair(restored, hq)
        discriminator = partners[_DISCRIMINATOR]
        yield _DISCRIMINATOR, self.gan.discriminator(*discriminator(hq, restored.detach()))
        with frozen(discriminator) as judge:
            fooled = self._fooled(judge, hq, restored)
            yield MODEL, self.content(restored, hq) + self.gan_weight * fooled

    def _fooled(self, judge: nn.Module, hq: Tensor, restored: Tensor) -> Tensor:
        if not self.gan.needs_real:
            return self.gan.generator(*judge(restored))
        real, fake = judge(hq, restored)  # nothing that learns made hq, so that its logits have no gradient
        return self.gan.generator(fake, real)

    def _check_side(self, lq: Tensor, hq: Tensor) -> None:
        if min(hq.shape[-2:]) < self.minimum_side:
            raise ValueError(
                f"the discriminator needs pictures of at least {self.minimum_side}x{self.minimum_side} px, got hq of "
                f"shape {tuple(hq.shape)}, lq of {tuple(lq.shape)}: cut larger patches"
            )
