"""The distortions that a recipe can name, and what must be known of a function before it runs."""

import inspect
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

from torch import Tensor

from restorekit._check import check_interval
from restorekit.degrade.blur import defocus_blur, gaussian_blur, motion_blur
from restorekit.degrade.f_noise import f_noise
from restorekit.degrade.generalized import generalized_blur
from restorekit.degrade.grating import sinusoidal_grating
from restorekit.degrade.jpeg import differentiable_jpeg, jpeg
from restorekit.degrade.nlm import nlm_denoise
from restorekit.degrade.noise import gaussian_noise, poisson_noise, salt_and_pepper
from restorekit.degrade.quantize import quantize
from restorekit.degrade.resample import resample, resampled_size
from restorekit.degrade.resolution import downscale, low_pass
from restorekit.degrade.sinc import sinc_blur
from restorekit.degrade.tone import brightness, contrast, low_light
from restorekit.degrade.weather import haze, rain

Function = Callable[..., Tensor]
Size = tuple[int, int]

FUNCTIONS: Mapping[str, Function] = {
    function.__name__: function
    for function in (
        brightness,
        contrast,
        defocus_blur,
        differentiable_jpeg,
        downscale,
        f_noise,
        gaussian_blur,
        gaussian_noise,
        generalized_blur,
        haze,
        jpeg,
        low_light,
        low_pass,
        motion_blur,
        nlm_denoise,
        poisson_noise,
        quantize,
        rain,
        resample,
        salt_and_pepper,
        sinc_blur,
        sinusoidal_grating,
    )
}
STRUCTURES = ("regions", "mask")  # step types of a recipe that are not functions
# What memory and time grow with has an end here, because a recipe may come from anywhere.
MAX_ENLARGED = 1 << 26  # pixels; a picture that is larger to begin with may keep its size
MAX_OPTIONS = {"kernel_size": 501, "length": 501, "patch_size": 21, "patch_distance": 30, "reference_size": 8192}


@lru_cache(maxsize=256)
def _parameters(function: Function) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def takes_generator(function: Function) -> bool:
    """Whether the function draws something."""
    return "generator" in _parameters(function)


def unknown_options(function: Function, options: Mapping[str, Any]) -> list[str]:
    """Names in ``options`` that are no keyword of the function."""
    parameters = _parameters(function)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    known = option_names(function)
    return [name for name in options if name not in known]


def option_names(function: Function) -> list[str]:
    """Keywords of the function besides the picture, the level and the generator."""
    named = {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    names = [name for name, parameter in _parameters(function).items() if parameter.kind in named]
    return [name for name in names[2:] if name != "generator"]


def check_own(name: str, function: object) -> None:
    """Require a user's own function to be callable and not to hide one that exists."""
    if not callable(function):
        raise TypeError(f"functions must map names to functions, got {function!r} for {name!r}")
    if name in STRUCTURES or FUNCTIONS.get(name, function) is not function:
        raise ValueError(f"the name {name!r} is taken by restorekit.degrade; give your function another")


def check_cost(name: str, level: Any, options: Mapping[str, Any], size: Size) -> Size:
    """Refuse a step whose memory or time has no bound; the size of the picture after it."""
    for key, largest in MAX_OPTIONS.items() if name in FUNCTIONS else ():
        value = options.get(key)
        if any(isinstance(n, (int, float)) and n > largest for n in (value if isinstance(value, tuple) else (value,))):
            raise ValueError(f"{key} must be at most {largest} in compositions and recipes, got {value}")
    height, width = output_size(name, level, options, size)
    if height * width > max(MAX_ENLARGED, size[0] * size[1]):
        raise ValueError(f"it would enlarge {size} to {(height, width)}, to more than {MAX_ENLARGED} pixels")
    return height, width


def output_size(name: str, level: Any, options: Mapping[str, Any], size: Size) -> Size:
    """Size of the picture after a step; functions of the user are taken to keep it."""
    if name == "downscale":
        check_interval(level, "level", 1, 64)
        factor = Fraction(1 / level).limit_denominator(1_000_000)
        return max(1, math.ceil(size[0] * factor)), max(1, math.ceil(size[1] * factor))
    if name == "resample":
        return resampled_size(size, level, options.get("size"))
    return size
