"""Distortions of equal PSNR: the strength at which a distortion brings a picture to a wanted PSNR."""

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, overload

import torch
from torch import Tensor

from restorekit._check import check_batch, check_generator
from restorekit._random import draw_seed, seeded
from restorekit.degrade._functions import takes_generator
from restorekit.degrade._level import finished
from restorekit.degrade._pieces import mean_of_each
from restorekit.degrade._search import Search, mean_square
from restorekit.degrade.blur import gaussian_blur
from restorekit.degrade.grating import sinusoidal_grating
from restorekit.degrade.noise import gaussian_noise

Distortion = Callable[[Tensor, float], Tensor]

_SHORT = {"blur": "gaussian_blur", "noise": "gaussian_noise", "grating": "sinusoidal_grating"}
_FAMILIES = ("gaussian_blur", "gaussian_noise", "sinusoidal_grating", "contrast", "brightness")
_ENDLESS = 2.0**30
_PROMISED = 1e-2  # dB
_NO_DETAIL = "a blur takes away the detail of a picture and no more"
_NO_GROWTH = "the error of the function does not grow so far"


class _Attempt(NamedTuple):
    """One way to distort a picture: levels from about ``start`` to ``limit``, told as ``offset + sign * level``."""

    distort: Distortion
    start: float
    limit: float
    why: str  # no level up to the limit is strong enough
    offset: float = 0.0
    sign: int = 1


@overload
def at_psnr(
    distortion: str | Distortion,
    x: Tensor,
    target_db: float,
    *,
    clip: bool = True,
    return_level: Literal[False] = False,
    generator: torch.Generator | None = None,
) -> Tensor: ...
@overload
def at_psnr(
    distortion: str | Distortion,
    x: Tensor,
    target_db: float,
    *,
    clip: bool = True,
    return_level: Literal[True],
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]: ...
def at_psnr(
    distortion: str | Distortion,
    x: Tensor,
    target_db: float,
    *,
    clip: bool = True,
    return_level: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Distort each picture so strongly that its PSNR becomes ``target_db``, to 0.01 dB.

    PSNR has peak 1 and is taken over all elements of a picture, after clipping if ``clip``. float16 and bfloat16 are
    solved in float32; rounding the result to so few digits comes on top, up to 1 dB at 40 dB in bfloat16.

    Args:
        distortion: A family: "gaussian_blur" ("blur"), solved for sigma up to 100 px; "gaussian_noise" ("noise"), for
            sigma of one field that is drawn once and scaled; "sinusoidal_grating" ("grating"), for the amplitude of
            upright stripes 8 px wide; "contrast", for the factor about the mean of the picture; "brightness", for
            what is added. The last two raise contrast or brightness, and lower it only where, because of clipping,
            raising cannot reach the target. Or a function ``f(picture, level)`` of a picture (1, C, H, W), float32 or
            float64, and a float above 0, which returns a picture of that shape: at level 0 it would change nothing,
            its error must grow with the level without jumps, and the same level must give the same result. One that
            takes a ``generator`` gets the same one each time, of a seed that is drawn once; what is drawn otherwise
            has to be seeded inside. Levels from 2^-10 are doubled or halved until they enclose the target.
        x: Pictures (N, C, H, W) in [0, 1].
        target_db: Wanted PSNR in dB, finite and above 0.
        clip: Clamp the result to [0, 1] and solve for the clamped result.
        return_level: Return the solved levels too.
        generator: Source of the field of "gaussian_noise"; nothing is drawn otherwise.

    Returns:
        Pictures (N, C, H, W) of the dtype of ``x``; with ``return_level`` also the levels (N,), with which the function
        of the family's name gives the same pictures (contrast: ``reading="factor", centre="mean"``), if it takes so
        much: a clipped picture at a low PSNR may need a sigma above 1, say. Not differentiable; there is no graph.

    Raises:
        TypeError: ``distortion`` is neither a name nor a function, ``x`` is not a floating-point tensor, ``target_db``
            no number, or ``generator`` no generator.
        ValueError: The family is unknown, ``target_db`` is not finite and above 0, a function changes the shape, or the
            target cannot be reached for a picture: the message says which, how near it gets, and why.

    Example:
        >>> x = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8)
        >>> out, level = at_psnr("brightness", x, 20, clip=False, return_level=True)
        >>> round(level.item(), 3), round((10 * ((out - x) ** 2).mean().log10()).item(), 3)
        (0.1, -20.0)

    Source: Mustafa et al., "Training a Task-Specific Image Reconstruction Loss", WACV 2022, supplement: these five
        families at equal PSNR, shown at 20, 30 and 40 dB. It gives no parameters; the choices here are ours.
    """
    check_batch(x)
    check_generator(generator)
    _check_target(target_db)
    name = _family(distortion)
    outs, levels = [], []
    work = x.detach().to(torch.promote_types(x.dtype, torch.float32))
    with torch.no_grad():
        field = _field(name, work, generator)
        seed = draw_seed(device=torch.device("cpu"), generator=generator) if _draws(distortion) else None
        for i in range(x.shape[0]):
            one = work[i : i + 1]
            added = field if field is None else field[i : i + 1]
            steady = distortion if seed is None else _drawn_alike(distortion, seed, i)
            out, level = _solve(i, one, _attempts(steady, name, added, target_db, clip), target_db, clip)
            outs.append(out)
            levels.append(level)
    out = torch.cat(outs).to(x.dtype)
    return (out, torch.tensor(levels, dtype=work.dtype, device=x.device)) if return_level else out


def _check_target(target_db: float) -> None:
    if isinstance(target_db, bool) or not isinstance(target_db, (int, float)):
        raise TypeError(f"target_db must be a number of dB above 0, got {target_db!r}")
    if not 0 < target_db < math.inf:
        raise ValueError(f"target_db must be finite and above 0 dB, got {target_db}")


def _family(distortion: str | Distortion) -> str:
    """The full name of the family; "" for a function."""
    if not isinstance(distortion, str):
        if not callable(distortion):
            raise TypeError(f"distortion must be a name or a function f(x, level), got {type(distortion).__name__}")
        return ""
    name = _SHORT.get(distortion, distortion)
    if name not in _FAMILIES:
        raise ValueError(f"distortion must be one of {', '.join((*_FAMILIES, *_SHORT))} or a function, got {name!r}")
    return name


def _draws(distortion: str | Distortion) -> bool:
    """Whether it is a function that takes a generator; a builtin does not tell."""
    try:
        return not isinstance(distortion, str) and takes_generator(distortion)
    except ValueError:
        return False


def _drawn_alike(distortion: Any, seed: int, i: int) -> Distortion:
    """The function, drawing the same for picture i whenever it is called."""
    return lambda x, level: distortion(x, level, generator=seeded(seed, i))


def _field(name: str, x: Tensor, generator: torch.Generator | None) -> Tensor | None:
    """What an additive family adds at level 1, (N, C, H, W); None for the others."""
    if name == "gaussian_noise":
        return gaussian_noise(torch.zeros_like(x), 1.0, clip=False, generator=generator)
    if name == "sinusoidal_grating":
        return sinusoidal_grating(torch.zeros_like(x), 1.0, clip=False)
    if name == "contrast":
        return x - mean_of_each(x)
    return torch.ones_like(x) if name == "brightness" else None


def _attempts(
    distortion: str | Distortion, name: str, field: Tensor | None, target_db: float, clip: bool
) -> Iterator[_Attempt]:
    """The ways to distort one picture, in the order in which they are tried."""
    if not isinstance(distortion, str):
        yield _Attempt(distortion, 2.0**-10, _ENDLESS, _NO_GROWTH)
    elif field is None:
        # Its kernel grows by whole pixels, at which the PSNR jumps, by less than .003 dB.
        yield _Attempt(gaussian_blur, 1.0, 100.0, _NO_DETAIL)
    else:
        size = math.sqrt(mean_square(field))
        if size < 4 * torch.finfo(field.dtype).eps:  # what is left of a constant is rounding
            yield _Attempt(lambda x, level: x, 1.0, 1.0, f"this {name} is 0 everywhere in the picture")
            return
        exact = max(10 ** (-target_db / 20) / size, 1e-30)  # without clipping
        endless = max(exact * _ENDLESS, 1.0)
        why = "what goes beyond [0, 1] is clipped" if clip else f"its {name} cannot grow so far"
        offset = float(name == "contrast")
        yield _Attempt(lambda x, level: x + level * field, exact, endless, why, offset)
        if name in {"contrast", "brightness"}:
            # Below a factor of 0 the picture would turn into its negative.
            limit = 1.0 if name == "contrast" else endless
            yield _Attempt(lambda x, level: x - level * field, min(exact, limit), limit, why, offset, -1)


def _solve(i: int, x: Tensor, attempts: Iterator[_Attempt], target_db: float, clip: bool) -> tuple[Tensor, float]:
    """The distorted picture and its level by the first attempt that reaches the target."""
    if not x.isfinite().all():
        raise ValueError(f"picture {i} must hold finite numbers in [0, 1], got NaN or infinity")
    failures = []
    for attempt in attempts:
        search = Search(functools.partial(_distorted, attempt.distort, x, clip), x, target_db)
        level = search.nearest(attempt.start, attempt.limit)
        if abs(search.psnr(level) - target_db) <= _PROMISED:
            return search.distort(level), attempt.offset + attempt.sign * level
        failures.append((search.psnr(level), attempt.offset + attempt.sign * level, search.why(attempt.why)))
    psnr, level, why = min(failures, key=lambda failure: abs(failure[0] - target_db))
    raise ValueError(
        f"picture {i} cannot be brought to target_db={target_db:g} dB: it comes no nearer than {psnr:.2f} dB, "
        f"at level {level:g}; {why}"
    )


def _distorted(distort: Distortion, x: Tensor, clip: bool, level: float) -> Tensor:
    out = distort(x, level)
    if not isinstance(out, Tensor) or out.shape != x.shape:
        got = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(
            f"distortion must return a picture of the shape that it was given, {tuple(x.shape)}, got {got}"
        )
    return finished(out, x, clip)
