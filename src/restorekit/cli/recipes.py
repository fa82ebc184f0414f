"""How the command line names degradations: ``jpeg:10``, ``shdd:moderate``, ``gaussian_blur:1.6+downscale:4``."""

import inspect
import re
from fractions import Fraction
from typing import Any, NamedTuple

import restorekit
from restorekit.cli._console import value


class Level(NamedTuple):
    """How a distortion is written, and what its number means."""

    example: str
    unit: str


DISTORTIONS = {
    "brightness": Level("0.2", "what is added, -1 to 1"),
    "contrast": Level("40", "level of the 259 recipe, -255 to 255"),
    "defocus_blur": Level("3", "radius in px"),
    "differentiable_jpeg": Level("10", "quality, 1 to 100"),
    "downscale": Level("4", "factor"),
    "f_noise": Level("8", "scale"),
    "gaussian_blur": Level("1.6", "sigma in px"),
    "gaussian_noise": Level("25", "sigma, of 255"),
    "generalized_blur": Level("2", "width in px"),
    "haze": Level("1", "scattering per unit of depth"),
    "jpeg": Level("10", "quality, 1 to 100"),
    "low_light": Level("0.5", "share of the light, 0 to 1"),
    "low_pass": Level("0.3", "ratio of the sides, 0 to 1"),
    "motion_blur": Level("15", "length in px"),
    "nlm_denoise": Level("0.06", "h, 0 to 1"),
    "poisson_noise": Level("100", "photons at white"),
    "quantize": Level("8", "grey levels, 2 to 256"),
    "rain": Level("0.5", "gain of the streaks, 0 to 1"),
    "resample": Level("0.5", "factor of the sides, below 1"),
    "salt_and_pepper": Level("0.05", "share of the values, 0 to 1"),
    "sinc_blur": Level("1.5", "cutoff in radians per px"),
    "sinusoidal_grating": Level("0.1", "amplitude, 0 to 1"),
}
PRESETS = {
    "blind_degradation": Level("4", "scale"),
    "flickr_distortion": Level("classification", "or detection-basic, detection-difficult"),
    "mixed_distortion": Level("moderate", "or mild, severe"),
    "shdd": Level("moderate", "or easy, difficult"),
    "sr_blur": Level("3", "scale"),
    "sr_dn": Level("3", "scale"),
}
_WHOLE = {"jpeg", "differentiable_jpeg", "quantize"}  # a level drawn between two ends is rounded
_PART = re.compile(r"(?P<name>\w+)(?::(?P<level>[^,=]+))?(?P<options>(?:,\w+=[^,=]+)*)")
_SYNTAX = "NAME[:LEVEL][,OPTION=VALUE...], several joined by +, such as gaussian_blur:1.6+downscale:4+jpeg:30"


def parse_recipe(text: str) -> "tuple[restorekit.degrade.Composition, int]":
    """The composition that a text names, and how many times smaller it makes a picture.

    Raises:
        ValueError: No recipe, or one of something unknown; the message says what is known.
    """
    parts = [_part(part.strip()) for part in text.split("+")]
    shrink = Fraction(1)
    for _, factor in parts:
        shrink *= factor
    if shrink.denominator != 1:
        raise ValueError(
            f"--recipe {text} makes pictures {float(shrink):g} times smaller, which must be a whole number"
        )
    compositions = [composition for composition, _ in parts]
    return compositions[0] if len(parts) == 1 else restorekit.degrade.Chain(*compositions), int(shrink)


def listing() -> str:
    """All names with an example and what they do."""
    lines = [f"--recipe {_SYNTAX}", "LEVEL is a number, or LOW..HIGH, drawn anew for each picture", ""]
    for heading, table in (("degradations of papers", PRESETS), ("distortions", DISTORTIONS)):
        lines.append(f"{heading}:")
        for name, level in table.items():
            about = (inspect.getdoc(getattr(restorekit.degrade, name)) or "").partition("\n")[0].replace("``", "")
            lines += [f"  {f'{name}:{level.example}':<34} {level.unit}", f"      {about}"]
    return "\n".join(lines)


def _part(text: str) -> "tuple[restorekit.degrade.Composition, Fraction]":
    found = _PART.fullmatch(text)
    if found is None:
        raise ValueError(f"--recipe: {text!r} is not of the form {_SYNTAX}")
    name, level, pairs = found["name"], found["level"], found["options"].split(",")[1:]
    options = {key: value(given) for key, _, given in (pair.partition("=") for pair in pairs)}
    if len(options) < len(pairs):
        raise ValueError(f"--recipe: {text!r} gives an option twice")
    if name not in DISTORTIONS and name not in PRESETS:
        raise ValueError(f"--recipe: unknown name {name!r}; known are {', '.join([*PRESETS, *DISTORTIONS])}")
    try:
        return _preset(name, level, options) if name in PRESETS else _distortion(name, level, options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"--recipe {text}: {error}") from error


def _preset(name: str, level: str | None, options: dict[str, Any]) -> "tuple[restorekit.degrade.Composition, Fraction]":
    factory = getattr(restorekit.degrade, name)
    arguments = inspect.signature(factory).bind(*([] if level is None else [value(level)]), **options)
    arguments.apply_defaults()
    return factory(*arguments.args, **arguments.kwargs), Fraction(arguments.arguments.get("scale", 1))


def _distortion(
    name: str, text: str | None, options: dict[str, Any]
) -> "tuple[restorekit.degrade.Composition, Fraction]":
    if text is None:
        level = DISTORTIONS[name]
        raise ValueError(f"a level is missing ({level.unit}), such as {name}:{level.example}")
    law = _law(text)
    if name == "gaussian_noise":
        if "variance" in options:
            raise ValueError("the level is sigma of 255 here; leave variance out")
        if not all(0 <= end <= 255 for end in (law if isinstance(law, tuple) else (law,))):
            raise ValueError(f"the level is sigma of 255, from 0 to 255, got {text}")
        law = tuple(end / 255 for end in law) if isinstance(law, tuple) else law / 255
    made = restorekit.degrade.Distortion(name, law, options=options or None, decimals=_decimals(name, law))
    return made, _shrink(name, law)


def _decimals(name: str, law: float | tuple[float, ...]) -> int | None:
    return 0 if name in _WHOLE and isinstance(law, tuple) else None


def _shrink(name: str, law: float | tuple[float, ...]) -> Fraction:
    """How many times smaller a picture gets."""
    if name not in {"downscale", "resample"}:
        return Fraction(1)
    if isinstance(law, tuple):
        raise ValueError("a size that is drawn would not fit its clean picture; give one number")
    factor = Fraction(law).limit_denominator(1000)
    return factor if name == "downscale" else 1 / factor


def _law(text: str) -> Any:
    """A number, or the two ends of a range."""
    ends = [value(end) for end in text.split("..")]
    if len(ends) > 2 or any(isinstance(end, str | bool) or end is None for end in ends):
        raise ValueError(f"the level must be a number or LOW..HIGH, got {text!r}")
    return ends[0] if len(ends) == 1 else tuple(ends)
