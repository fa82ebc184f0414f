"""Search for the level at which a distortion brings one picture to a PSNR."""

import math
from collections.abc import Callable

import torch
from scipy.optimize import brentq
from torch import Tensor

from restorekit.degrade._pieces import PIECE

_CLOSE = 1e-3  # dB: near enough to stop
_FAR = 1e3  # dB above the target, stands in for an identical picture
_HALVINGS = 60


def mean_square(x: Tensor) -> float:
    """Mean of the squares in float64, added in one order whatever the number of threads."""
    if x.device.type != "cpu":
        return x.double().square().mean().item()
    return math.fsum(piece.double().square().sum().item() for piece in torch.split(x.flatten(), PIECE)) / x.numel()


class Search:
    """The PSNR of a picture as a function of a level, and the level that comes nearest to a target.

    Args:
        distort: Level to picture.
        x: The picture (1, C, H, W).
        target_db: Wanted PSNR.
    """

    def __init__(self, distort: Callable[[float], Tensor], x: Tensor, target_db: float) -> None:
        self.distort = distort
        self._x = x
        self._target = target_db
        self._seen: dict[float, float] = {}

    def psnr(self, level: float) -> float:
        """PSNR at ``level``, infinite for an identical picture."""
        if level not in self._seen:
            error = mean_square(self.distort(level).double() - self._x.double())
            if not math.isfinite(error):
                raise ValueError(f"the error of the distorted picture is {error} at level {level:g}; are there NaN?")
            self._seen[level] = -10 * math.log10(error) if error > 0 else math.inf
        return self._seen[level]

    def _gap(self, level: float) -> float:
        """Above 0 where the level is too weak, below where it is too strong, 0 where it will do."""
        gap = min(self.psnr(level) - self._target, _FAR)
        return 0.0 if abs(gap) < _CLOSE else gap

    def nearest(self, start: float, limit: float) -> float:
        """The level in (0, limit] whose PSNR comes nearest to the target, looked for from ``start`` on."""
        weak = strong = start
        while self._gap(strong) > 0 and strong < limit:
            weak, strong = strong, min(2 * strong, limit)
        while self._gap(weak) < 0 and weak > start * 2.0**-_HALVINGS:
            weak, strong = weak / 2, weak
        if self._gap(weak) > 0 > self._gap(strong):
            # Where the error jumps over the target it closes in on the jump.
            brentq(self._gap, weak, strong, xtol=1e-9 * strong, maxiter=200, disp=False)
        return min(self._seen, key=lambda level: abs(self._seen[level] - self._target))

    def why(self, too_weak: str) -> str:
        """Why the target was not met; ``too_weak`` if no level was strong enough."""
        if min(self._seen.values()) > self._target:
            return too_weak
        if max(self._seen.values()) < self._target:
            return "even the weakest level distorts more"
        return f"the error jumps there: a function with steps, or one finer than {self._x.dtype} can show"
