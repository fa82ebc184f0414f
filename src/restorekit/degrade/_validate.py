"""Recipes may come from a file: every part is checked before anything runs."""

from collections.abc import Mapping
from typing import Any

from restorekit.degrade._functions import FUNCTIONS, Function, check_own, option_names, takes_generator, unknown_options
from restorekit.degrade._law import MAX_LAYERS, SEED_LIMIT, check_value, is_number

VERSION = 1
MAX_DEPTH = 16  # steps inside regions inside layers ...


def check_recipe(recipe: object, functions: Mapping[str, Function] | None) -> list[dict[str, Any]]:
    """Require a well-formed recipe and return its pictures.

    Args:
        recipe: What to check.
        functions: The user's own functions by name; None accepts any name, for who only reads labels.
    """
    if functions is not None and not isinstance(functions, Mapping):
        raise TypeError(f"functions must be a dictionary of functions by name, got {functions!r:.80}")
    for name, function in (functions or {}).items():
        check_own(name, function)
    _dictionary(recipe, "recipe", ("restorekit", "device", "pictures"))
    assert isinstance(recipe, dict)
    if recipe["restorekit"] != VERSION or isinstance(recipe["restorekit"], bool):
        raise ValueError(f"recipe has version {recipe['restorekit']!r:.80}, this restorekit reads {VERSION}")
    if not isinstance(recipe["device"], str):
        raise TypeError(f"recipe device must be a string such as 'cpu', got {recipe['device']!r:.80}")
    pictures = _list(recipe["pictures"], "recipe pictures")
    known = None if functions is None else {**FUNCTIONS, **functions}
    for i, picture in enumerate(pictures):
        place = f"recipe picture {i}"
        _dictionary(picture, place, ("size", "steps"))
        _whole_numbers(picture["size"], f"{place}: size", 2, 1)
        _check_steps(picture["steps"], place, known, 1)
    return pictures


def _check_steps(steps: object, place: str, known: Mapping[str, Function] | None, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValueError(f"{place}: steps are nested more than {MAX_DEPTH} deep")
    for i, step in enumerate(_list(steps, f"{place}: steps")):
        _check_step(step, f"{place}, step {i}", known, depth)


def _check_step(step: Any, place: str, known: Mapping[str, Function] | None, depth: int) -> None:
    if not isinstance(step, dict) or not isinstance(step.get("type"), str):
        raise TypeError(f'{place}: a step must be a dictionary with a string "type", got {step!r:.80}')
    if step["type"] == "regions":
        _dictionary(step, place, ("type", "regions"))
        for i, region in enumerate(_list(step["regions"], f"{place}: regions")):
            here = f"{place}, region {i}"
            _dictionary(region, here, ("box", "steps"))
            _check_box(region["box"], here)
            _check_steps(region["steps"], here, known, depth + 1)
    elif step["type"] == "mask":
        _check_mask(step, place)
        for i, layer in enumerate(step["layers"]):
            _dictionary(layer, f"{place}, layer {i}", ("steps",))
            _check_steps(layer["steps"], f"{place}, layer {i}", known, depth + 1)
    else:
        _check_call(step, place, known)


def _check_mask(step: dict[str, Any], place: str) -> None:
    _dictionary(step, place, ("type", "seed", "smoothness", "layers"))
    _check_seed(step["seed"], place)
    if not is_number(step["smoothness"]) or step["smoothness"] <= 0:
        raise ValueError(f"{place}: smoothness must be a finite number above 0, got {step['smoothness']!r:.80}")
    if not 0 < len(_list(step["layers"], f"{place}: layers")) <= MAX_LAYERS:
        raise ValueError(f"{place}: layers must not be empty and at most {MAX_LAYERS}, got {len(step['layers'])}")


def _check_call(step: dict[str, Any], place: str, known: Mapping[str, Function] | None) -> None:
    _dictionary(step, place, ("type", "level"), ("options", "seed"))
    name = step["type"]
    check_value(step["level"], f"{place}: level", numeric=True)
    options = step.get("options", {})
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        raise TypeError(f"{place}: options must be a dictionary with string keys, got {options!r:.80}")
    for key, value in options.items():
        check_value(value, f"{place}: option {key!r:.80}")
    if "seed" in step:
        _check_seed(step["seed"], place)
    if known is None:
        return
    if name not in known:
        raise ValueError(
            f"{place}: unknown type {name!r:.80}; known are {', '.join(sorted(known))}; "
            "give your own in functions={name: function}"
        )
    if unknown := unknown_options(known[name], options):
        raise ValueError(
            f"{place}: {name} has no option {unknown[0]!r:.80}; it has {', '.join(option_names(known[name])) or 'none'}"
        )
    if takes_generator(known[name]) != ("seed" in step):
        says = 'draws and needs a "seed"' if takes_generator(known[name]) else 'draws nothing and takes no "seed"'
        raise ValueError(f"{place}: {name} {says}")


def _check_seed(seed: object, place: str) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"{place}: seed must be an integer, got {seed!r:.80}")
    if not 0 <= seed < SEED_LIMIT:
        raise ValueError(f"{place}: seed must be in [0, 2^53), got {seed!r:.80}")


def _check_box(box: object, place: str) -> None:
    top, left, bottom, right = _whole_numbers(box, f"{place}: box", 4, 0)
    if top >= bottom or left >= right:
        raise ValueError(f"{place}: box must be [top, left, bottom, right] with some area, got {box}")


def _whole_numbers(values: object, name: str, count: int, least: int) -> list[int]:
    """Require a list of ``count`` whole numbers of at least ``least``."""
    numbers = _list(values, name)
    if len(numbers) != count or any(isinstance(n, bool) or not isinstance(n, int) or n < least for n in numbers):
        raise ValueError(f"{name} must be {count} integers of at least {least}, got {values!r:.80}")
    return numbers


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name} must be a list, got {type(value).__name__}")
    return list(value)


def _dictionary(value: object, name: str, needed: tuple[str, ...], allowed: tuple[str, ...] = ()) -> None:
    """Require a dictionary with exactly the needed keys, and none but the allowed ones besides."""
    if not isinstance(value, dict):
        raise TypeError(f"{name} must be a dictionary, got {type(value).__name__}")
    if missing := [key for key in needed if key not in value]:
        raise ValueError(f"{name} has no {missing[0]!r}; it needs {', '.join(needed)}")
    if surplus := [key for key in value if key not in {*needed, *allowed}]:
        raise ValueError(f"{name} has an unknown entry {surplus[0]!r:.80}; it takes {', '.join((*needed, *allowed))}")
