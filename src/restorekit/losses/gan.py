"""Adversarial losses on logits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit._check import check_generator, check_pair, check_same_kind
from restorekit._random import uniform

Kind = Literal["vanilla", "least-squares", "hinge", "relativistic", "wgan"]
Logits = Tensor | Sequence[Tensor]


def _vanilla_real(x: Tensor) -> Tensor:
    return -F.logsigmoid(x)


def _vanilla_fake(x: Tensor) -> Tensor:
    return -F.logsigmoid(-x)


def _square_real(x: Tensor) -> Tensor:
    return 0.5 * (x - 1).square()


def _square_fake(x: Tensor) -> Tensor:
    return 0.5 * x.square()


def _hinge_real(x: Tensor) -> Tensor:
    return F.relu(1 - x)


def _hinge_fake(x: Tensor) -> Tensor:
    return F.relu(1 + x)


def _critic_real(x: Tensor) -> Tensor:
    return -x


def _critic_fake(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True)
class _Absolute:
    """Each picture is judged on its own."""

    real: Callable[[Tensor], Tensor]  # what the discriminator pays for a logit of a real picture
    fake: Callable[[Tensor], Tensor]  # and of a fake one
    fooled: Callable[[Tensor], Tensor]  # what the generator pays

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.real(real).mean() + self.fake(fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return self.fooled(fake).mean()


@dataclass(frozen=True)
class _Relative:
    """Each picture is judged by how much more real it looks than the others do on average."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.real(real - fake.mean()).mean() + self.fake(fake - real.mean()).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        if real is None:
            raise ValueError("relativistic: the generator's loss needs real_logits, too: pass generator(fake, real)")
        return self.discriminator(fake, real)  # the same with the parts swapped


_KINDS: dict[str, _Absolute | _Relative] = {
    "vanilla": _Absolute(_vanilla_real, _vanilla_fake, _vanilla_real),
    "least-squares": _Absolute(_square_real, _square_fake, _square_real),
    "hinge": _Absolute(_hinge_real, _hinge_fake, _critic_real),
    "relativistic": _Relative(_vanilla_real, _vanilla_fake),
    "wgan": _Absolute(_critic_real, _critic_fake, _critic_real),
}


@final
class GANLoss(nn.Module):
    """What the discriminator and the generator of a GAN make small, each by a method of its own.

    With r and f the logits of real and fake pictures, b(x) = log(1 + exp(-x)), and means over each map:

    | kind            | discriminator                            | generator                       |
    |-----------------|------------------------------------------|---------------------------------|
    | "vanilla"       | mean b(r) + mean b(-f)                   | mean b(f)                       |
    | "least-squares" | mean (r - 1)^2 / 2 + mean f^2 / 2        | mean (f - 1)^2 / 2              |
    | "hinge"         | mean relu(1 - r) + mean relu(1 + f)      | -mean f                         |
    | "relativistic"  | mean b(r - mean f) + mean b(-f + mean r) | the same with r and f exchanged |
    | "wgan"          | -mean r + mean f                         | -mean f                         |

    Logits are a tensor of any shape, or a list of them, as ``models.MultiScaleDiscriminator`` returns: then the losses
    of all maps are added. Half types are computed in float32. NaN comes out where it goes in. The module itself is not
    called.

    Args:
        kind: One of the table. "wgan" needs ``gradient_penalty`` besides.

    Attributes:
        needs_real: Whether ``generator`` needs the logits of the real pictures.

    Raises:
        ValueError: ``kind`` is unknown.

    Example:
        >>> loss, real, fake = GANLoss("hinge"), torch.tensor([[3.0]]), torch.tensor([[0.5]])
        >>> loss.discriminator(real, fake).item(), loss.generator(fake).item()
        (1.5, -0.5)

    Source:
        Goodfellow et al., 2014, with the generator's loss that does not saturate; Mao et al., ICCV 2017, with the
        labels 0, 1 and 1, the halves of which some published code leaves out; Lim and Ye, 2017; Wang et al., 2018
        (ESRGAN), equations 1 and 2, whose later code halves both; Arjovsky et al., 2017. PCARN's code has "vanilla" on
        three maps, added; equation 2.4 of Ahn's thesis has the form that saturates.
    """

    def __init__(self, kind: Kind = "vanilla") -> None:
        super().__init__()
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}")
        self.kind = kind
        self._game = _KINDS[kind]

    @property
    def needs_real(self) -> bool:
        """Whether ``generator`` needs the logits of the real pictures."""
        return isinstance(self._game, _Relative)

    def discriminator(self, real_logits: Logits, fake_logits: Logits) -> Tensor:
        """Loss of the discriminator.

        Args:
            real_logits: What it says about real pictures.
            fake_logits: What it says about fakes, which are best detached from the generator; the same maps, of any
                batch size.

        Returns:
            Scalar.

        Raises:
            TypeError: Something else than floating-point tensors.
            ValueError: No map, an empty one, or maps that do not correspond.
        """
        pairs = _paired(real_logits, fake_logits)
        return _added([self._game.discriminator(real, fake) for real, fake in pairs])

    def generator(self, fake_logits: Logits, real_logits: Logits | None = None) -> Tensor:
        """Loss of the generator.

        Args:
            fake_logits: What the discriminator says about fakes.
            real_logits: What it says about real pictures, best detached; "relativistic" needs it, others look past it.

        Returns:
            Scalar.

        Raises:
            TypeError: Something else than floating-point tensors.
            ValueError: No map, an empty one, maps that do not correspond, or ``real_logits`` missing.
        """
        if real_logits is None:
            return _added([self._game.generator(fake, None) for fake in _maps(fake_logits, "fake_logits")])
        return _added([self._game.generator(fake, real) for real, fake in _paired(real_logits, fake_logits)])

    def extra_repr(self) -> str:
        return repr(self.kind)


def gradient_penalty(
    discriminator: Callable[[Tensor], Logits],
    real: Tensor,
    fake: Tensor,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """How far the discriminator's slope is from 1 between real and fake pictures.

        mean((|gradient of score at x| - 1)^2),   x = u * real + (1 - u) * fake,   u ~ U[0, 1) for each picture

    The score of a picture is the mean of its map, added over maps: what ``GANLoss("wgan")`` compares. The penalty is
    added to that loss ten times in the paper. No gradient reaches ``real`` and ``fake``.

    Args:
        discriminator: Maps pictures to logits (N, ...), or a list of them. Layers that mix pictures, such as BatchNorm,
            blur what is measured: the paper does without them.
        real: Real pictures (N, C, H, W).
        fake: Fakes of the same shape, dtype and device.
        generator: Source of the draws, N numbers.

    Returns:
        Scalar, float32 for half types.

    Raises:
        TypeError: ``real`` or ``fake`` is no floating-point tensor, the logits are none, or ``generator`` is none.
        ValueError: The batches differ, or the logits are not one or more for each picture.

    Example:
        >>> real, fake = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
        >>> gradient_penalty(lambda x: x.sum(dim=(1, 2, 3)) / 192**0.5, real, fake).item() < 1e-9
        True

    Source:
        Gulrajani et al., NeurIPS 2017 (WGAN-GP), equation 3. They have one logit for each picture; for maps the mean
        is ours.
    """
    check_pair(real, fake, ("real", "fake"))
    check_generator(generator)
    if not callable(discriminator):
        raise TypeError(f"discriminator must be a function of pictures, got {type(discriminator).__name__}")
    differentiable = torch.is_grad_enabled()
    share = uniform((len(real), 1, 1, 1), device=real.device, generator=generator).to(real.dtype)
    with torch.enable_grad():
        x = torch.lerp(fake.detach(), real.detach(), share).requires_grad_()
        score = _score(discriminator(x), len(x))
        (slope,) = torch.autograd.grad(score, x, create_graph=differentiable)
    norm = torch.linalg.vector_norm(_precise(slope).flatten(1), dim=1)
    penalty: Tensor = (norm - 1).square().mean()
    return penalty


def _score(logits: Logits, batch: int) -> Tensor:
    """Sum over the pictures, each of which depends on itself only, of the means of their maps."""
    maps = _maps(logits, "logits")
    for logit in maps:
        if logit.ndim == 0 or logit.shape[0] != batch:
            raise ValueError(f"discriminator must give logits ({batch}, ...), got shape {tuple(logit.shape)}")
    return _added([logit.flatten(1).mean(dim=1).sum() if logit.ndim > 1 else logit.sum() for logit in maps])


def _maps(logits: Logits, name: str) -> list[Tensor]:
    """The maps as a list, in float32 at least."""
    maps = [logits] if isinstance(logits, Tensor) else logits
    if not isinstance(maps, Sequence) or isinstance(maps, str):
        raise TypeError(f"{name} must be a tensor or a list of tensors, got {type(logits).__name__}")
    for x in maps:
        if not isinstance(x, Tensor) or not x.is_floating_point():
            got = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise TypeError(f"{name} must hold floating-point tensors, got {got}")
    if not maps or any(x.numel() == 0 for x in maps):
        raise ValueError(f"{name} must hold at least one map and no empty one, got {[tuple(x.shape) for x in maps]}")
    return [_precise(x) for x in maps]


def _paired(real_logits: Logits, fake_logits: Logits) -> list[tuple[Tensor, Tensor]]:
    real, fake = _maps(real_logits, "real_logits"), _maps(fake_logits, "fake_logits")
    shapes = [[tuple(x.shape) for x in maps] for maps in (real, fake)]
    if [shape[1:] for shape in shapes[0]] != [shape[1:] for shape in shapes[1]]:
        raise ValueError(
            f"real_logits and fake_logits must be the same maps but for the batch size, got {shapes[0]} and {shapes[1]}"
        )
    pairs = list(zip(real, fake, strict=True))
    for pair in pairs:
        check_same_kind(*pair, ("real_logits", "fake_logits"))
    return pairs


def _precise(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _added(values: list[Tensor]) -> Tensor:
    return torch.stack(values).sum()
