"""The public names, and what each of them must say about itself.

A name that appears or goes is a decision: write it down with ``python tests/test_api_surface.py --write``.
"""

import importlib
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "restorekit"
MAX_EXAMPLE_LINES = 4
SURFACE = Path(__file__).with_name("api_surface.json")


def public_modules() -> list[str]:
    """The package and its parts; where inside a part a name is defined is nobody's business."""
    folders = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    files = [path.stem for path in PACKAGE.glob("*.py")]
    return ["restorekit", *(f"restorekit.{name}" for name in sorted(folders + files) if not name.startswith("_"))]


def surface() -> dict[str, list[str]]:
    return {name: sorted(getattr(importlib.import_module(name), "__all__", ())) for name in public_modules()}


def public_callables() -> dict[str, Callable[..., object]]:
    found = {}
    for module, names in surface().items():
        for name in names:
            value = getattr(importlib.import_module(module), name)
            if inspect.isclass(value) or inspect.isroutine(value):
                found[f"{module}.{name}"] = value
    return found


def parameters(value: Callable[..., object]) -> list[str]:
    return [name for name in inspect.signature(value).parameters if name not in {"self", "cls"}]


def missing_sections(value: Callable[..., object]) -> list[str]:
    """What the docstring of a public function or class still owes to its reader."""
    text = value.__doc__ or ""
    if not text.strip():
        return ["docstring"]
    sections = {line.strip() for line in text.splitlines()}
    returns = not inspect.isclass(value) and inspect.signature(value).return_annotation not in {None, "None"}
    is_base = inspect.isabstract(value)  # it cannot be called: its attributes are what matters
    needed = {
        "Attributes:" if is_base else "Args:": bool(parameters(value)),
        "Returns:": returns and "Yields:" not in sections,
        "Example:": not is_base,
    }
    missing = [section for section, is_needed in needed.items() if is_needed and section not in sections]
    doctest = [line for line in text.splitlines() if line.lstrip().startswith((">>> ", "... "))]
    if needed["Example:"] and not missing and not 1 <= len(doctest) <= MAX_EXAMPLE_LINES:
        missing.append(f"a doctest of 1 to {MAX_EXAMPLE_LINES} lines in Example:")
    if "+SKIP" in text:
        missing.append("an Example: that runs")
    undocumented = [name for name in parameters(value) if f"{name}:" not in text and "Args:" in sections]
    return missing + [f"Args: {name}" for name in undocumented]


def test_the_public_names_are_the_recorded_ones():
    assert surface() == json.loads(SURFACE.read_text(encoding="utf-8"))


def test_every_module_gives_what_it_promises():
    for module, names in surface().items():
        assert names, f"{module} needs an __all__"
        assert len(names) == len(set(names)), module
        assert [name for name in names if not hasattr(importlib.import_module(module), name)] == []


def test_there_is_something_public():
    assert {"restorekit", "restorekit.image", "restorekit.models"} <= set(public_modules())
    assert "restorekit.augment.cutblur" in public_callables()


def test_every_public_callable_explains_itself():
    owed = {name: missing_sections(value) for name, value in public_callables().items()}
    assert {name: missing for name, missing in owed.items() if missing} == {}


def _bare(x: int) -> int:
    return x


def _half(x: int, y: int) -> int:
    """Add.

    Args:
        x: One.

    Returns:
        The sum.

    Example:
        as you like
    """
    return x + y


def _full(x: int) -> None:
    """Do nothing.

    Args:
        x: Anything.

    Example:
        >>> _full(1)
    """


def test_missing_sections_finds_what_is_missing():
    assert missing_sections(_bare) == ["docstring"]
    assert missing_sections(_half) == ["a doctest of 1 to 4 lines in Example:", "Args: y"]
    assert missing_sections(_full) == []


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    SURFACE.write_text(json.dumps(surface(), indent=2) + "\n", encoding="utf-8")
