"""Random weights of residual branches, others on the way back than on the way forth."""

from typing import Any, final

import torch
from torch import Tensor, nn

from restorekit._check import check_batch, check_generator, check_interval, check_pair
from restorekit._random import uniform


class _TwoFactors(torch.autograd.Function):
    """Multiply by one factor, and the gradient by another."""

    @staticmethod
    def forward(x: Tensor, factor: Tensor, gradient_factor: Tensor) -> Tensor:
        return x * factor

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (factor,) = ctx.saved_tensors
        return gradient * factor, None, None


def _scale(x: Tensor, factor: Tensor, gradient_factor: Tensor) -> Tensor:
    """Scale each picture (N, ...) by its own of N factors, and its gradient by its own of N others."""
    shape = (-1, *[1] * (x.ndim - 1))
    out: Tensor = _TwoFactors.apply(x, factor.to(x.dtype).view(shape), gradient_factor.to(x.dtype).view(shape))  # type: ignore[no-untyped-call]
    return out


def shake_shake(a: Tensor, b: Tensor, *, training: bool = True, generator: torch.Generator | None = None) -> Tensor:
    """Add two branches with random weights, the gradients with others.

        y = w a + (1 - w) b,   dy/da = v,   dy/db = 1 - v,   w, v ~ U[0, 1) for each picture

    Args:
        a: Output of one branch (N, C, H, W).
        b: Output of the other: same shape, dtype and device.
        training: If false, the mean (a + b) / 2.
        generator: Source of the draws: two for each picture.

    Returns:
        Features (N, C, H, W), to be added to the skip connection.

    Raises:
        TypeError: An input is no floating-point tensor, or ``generator`` no generator.
        ValueError: The inputs differ in shape, dtype or device.

    Example:
        >>> shake_shake(torch.ones(1, 1, 1, 2), torch.zeros(1, 1, 1, 2), training=False)
        tensor([[[[0.5000, 0.5000]]]])

    Source:
        Gastaldi, 2017 (arXiv:1705.07485): "Shake-Shake-Image", the best of its variants.
    """
    check_pair(a, b, ("a", "b"))
    check_generator(generator)
    if not training:
        return (a + b) / 2
    w, v = uniform((2, len(a)), device=a.device, generator=generator)
    return _scale(a, w, v) + _scale(b, 1 - w, 1 - v)


@final
class ShakeShake(nn.Module):
    """``shake_shake`` in training, the mean of both branches in evaluation.

    Example:
        >>> ShakeShake()(torch.rand(2, 8, 5, 7), torch.rand(2, 8, 5, 7)).shape
        torch.Size([2, 8, 5, 7])

    Source:
        Gastaldi, 2017 (arXiv:1705.07485).
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, a: Tensor, b: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Add two branches (N, C, H, W)."""
        return shake_shake(a, b, training=self.training, generator=generator)


def shake_drop(
    x: Tensor,
    *,
    keep: float = 0.5,
    forward_range: tuple[float, float] = (-1.0, 1.0),
    backward_range: tuple[float, float] = (0.0, 1.0),
    training: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Leave the branch of a residual block as it is, or shake it: by one random factor forth and another back.

        y = x,    dy/dx = 1    with probability ``keep`` for each picture,
        y = w x,  dy/dx = v    otherwise,   w ~ U(forward_range), v ~ U(backward_range)

    Args:
        x: Output of the branch (N, C, H, W), before it is added to the skip connection.
        keep: Probability that a picture's branch stays as it is, in [0, 1]. The paper lets it fall with depth, to
            1 - l / (2 L) in block l of L.
        forward_range: Least and greatest factor w, from -1 to 1.
        backward_range: Least and greatest factor v, from -1 to 1.
        training: If false, the expectation (keep + (1 - keep) * mean of w) x.
        generator: Source of the draws: three for each picture.

    Returns:
        Features (N, C, H, W).

    Raises:
        TypeError: ``x`` is no floating-point tensor, or an argument is not what its name says.
        ValueError: ``keep`` outside [0, 1], or a range that is none.

    Example:
        >>> shake_drop(torch.ones(1, 1, 1, 2), keep=0.75, training=False)
        tensor([[[[0.7500, 0.7500]]]])

    Source:
        Yamada et al., 2018 (arXiv:1802.02375), equation 6. The same as RandomDrop with both ranges (0, 0). The authors'
        code draws once for a whole batch; Ahn's thesis, section 4.4.1, found it to hinder super-resolution.
    """
    check_batch(x)
    check_generator(generator)
    _check_options(keep, forward_range, backward_range)
    if not training:
        return x * (keep + (1 - keep) * sum(forward_range) / 2)
    draw, w, v = uniform((3, len(x)), device=x.device, generator=generator)
    one, kept = torch.ones_like(draw), draw < keep
    return _scale(x, one.where(kept, _within(forward_range, w)), one.where(kept, _within(backward_range, v)))


@final
class ShakeDrop(nn.Module):
    """``shake_drop`` in training, its expectation in evaluation; for the end of a residual branch.

    Args:
        keep: Probability that a picture's branch stays as it is, in [0, 1].
        forward_range: Least and greatest factor of a shaken branch.
        backward_range: Least and greatest factor of its gradient.

    Raises:
        TypeError: An argument is not what its name says.
        ValueError: ``keep`` outside [0, 1], or a range that is none.

    Example:
        >>> branch = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), ShakeDrop(0.9))
        >>> branch(torch.rand(2, 8, 5, 7)).shape
        torch.Size([2, 8, 5, 7])

    Source:
        Yamada et al., 2018 (arXiv:1802.02375).
    """

    def __init__(
        self,
        keep: float = 0.5,
        *,
        forward_range: tuple[float, float] = (-1.0, 1.0),
        backward_range: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        _check_options(keep, forward_range, backward_range)
        self.keep, self.forward_range, self.backward_range = keep, forward_range, backward_range

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Map features (N, C, H, W) to features of the same shape."""
        return shake_drop(
            x,
            keep=self.keep,
            forward_range=self.forward_range,
            backward_range=self.backward_range,
            training=self.training,
            generator=generator,
        )

    def extra_repr(self) -> str:
        return f"{self.keep}, forward_range={self.forward_range}, backward_range={self.backward_range}"


def _within(span: tuple[float, float], draw: Tensor) -> Tensor:
    low, high = span
    return low + (high - low) * draw


def _check_options(keep: float, forward_range: tuple[float, float], backward_range: tuple[float, float]) -> None:
    check_interval(keep, "keep", 0, 1)
    for name, span in (("forward_range", forward_range), ("backward_range", backward_range)):
        if not isinstance(span, tuple) or len(span) != 2:
            raise TypeError(f"{name} must be two numbers, the least and the greatest factor, got {span!r}")
        for factor in span:
            check_interval(factor, name, -1, 1)
        if span[0] > span[1]:
            raise ValueError(f"{name} must begin with its least factor, got {span}")
