"""Imports go one way, are visible, and do nothing.

The checker reads the source, so it sees every import whether or not a run would reach it; small trees test the checker.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "restorekit"

_MODELS = {"image", "layers", "models"}
_ALL_BUT_TRAIN = _MODELS | {"metrics", "losses", "augment", "degrade", "data", "inference", "evaluation"}
_EVERYWHERE = {"_check", "_random"}

# part -> the parts it may use, besides itself and _EVERYWHERE
ALLOWED: dict[str, set[str]] = {
    "_check": set(),
    "_random": set(),
    "image": set(),
    "weights": set(),
    "layers": {"image"},
    "models": {"image", "layers", "weights"},
    "metrics": _MODELS,
    "losses": _MODELS | {"metrics", "weights"},
    "augment": {"image"},
    "degrade": {"image"},
    "data": {"image"},
    "inference": _MODELS | {"data"},
    "evaluation": {"image", "data", "metrics", "inference"},
    "train": _ALL_BUT_TRAIN,
    # "": the package itself, whose parts load on first use, so that --help need not wait for all that the others import
    "cli": _ALL_BUT_TRAIN | {"train", "weights", ""},
    "__main__": {"cli"},
}
# imported where used, because they may be absent
OPTIONAL = {"accelerate", "matplotlib", "onnx", "onnxruntime", "onnxscript", "openvino"}
# part -> packages imported where used, because the part answers without them while loading them takes seconds
LATE = {"cli": {"torch"}}


class Tree:
    """The modules below a package folder, by dotted name without the package: ``""``, ``image``, ``image.files``."""

    def __init__(self, root: Path) -> None:
        self.package = root.name
        self.source: dict[str, ast.Module] = {}
        self.folders: set[str] = set()
        for path in sorted(root.rglob("*.py")):
            parts = list(path.relative_to(root).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
                self.folders.add(".".join(parts))
            self.source[".".join(parts)] = ast.parse(path.read_text(encoding="utf-8"), str(path))

    def targets(self, module: str, node: ast.Import | ast.ImportFrom) -> list[str]:
        """Dotted names that ``node`` imports, most specific first to be resolved by ``inside`` or as a third party."""
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        base = node.module or ""
        if node.level:
            here = [self.package, *filter(None, module.split("."))]
            climb = node.level - 1 if module in self.folders else node.level
            base = ".".join([*here[: len(here) - climb], *filter(None, [base])])
        return [f"{base}.{alias.name}" for alias in node.names]

    def inside(self, target: str) -> str | None:
        """The module of this package that ``target`` names or takes a name from; None for a third party."""
        if target != self.package and not target.startswith(f"{self.package}."):
            return None
        name = target.removeprefix(self.package).removeprefix(".")
        while name and name not in self.source:
            name = name.rpartition(".")[0]
        return name

    def imports(self, module: str) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
        for node in ast.walk(self.source[module]):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for target in self.targets(module, node):
                    yield node, target

    def edges(self, module: str) -> set[str]:
        """Modules of this package that ``module`` uses; the version is a plain string and ties it to nothing."""
        named = [target for _, target in self.imports(module) if target != f"{self.package}.__version__"]
        return {found for target in named if (found := self.inside(target)) is not None}


def wrong_edges(tree: Tree) -> list[str]:
    """Imports between parts that the table does not allow; a part that the table does not know is wrong as a whole."""
    problems = []
    for module in filter(None, tree.source):  # the package's own __init__ names its parts for type checkers
        part = module.partition(".")[0]
        if part not in ALLOWED:
            problems.append(f"{part}: unknown part, give it a row in ALLOWED")
            continue
        allowed = ALLOWED[part] | _EVERYWHERE | {part}
        problems += [f"{module} -> {edge or 'the package itself'}" for edge in sorted(tree.edges(module))
                     if edge.partition(".")[0] not in allowed]  # fmt: skip
    return problems


def cycles(tree: Tree) -> list[str]:
    """Rings of modules, whether inside a part or across parts."""
    problems, done = [], set()

    def visit(module: str, trail: list[str]) -> None:
        if module in trail:
            problems.append(" -> ".join([*trail[trail.index(module) :], module]))
        elif module not in done:
            for edge in sorted(tree.edges(module) - {""}):
                visit(edge, [*trail, module])
            done.add(module)

    for module in filter(None, tree.source):
        visit(module, [])
    return problems


def misplaced_imports(tree: Tree) -> list[str]:
    """Imports hidden in a function, optional packages imported by everyone, and imports by string."""
    problems = []
    for module, source in tree.source.items():
        hidden = {
            id(node)
            for function in ast.walk(source)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
        }
        for node, target in tree.imports(module):
            optional = target.partition(".")[0] in OPTIONAL | LATE.get(module.partition(".")[0], set())
            if id(node) in hidden and not optional:
                problems.append(f"{module}:{node.lineno}: {target} is imported inside a function")
            if id(node) not in hidden and optional and not _for_types_only(source, node):
                problems.append(f"{module}:{node.lineno}: {target} is optional, import it where it is used")
        if module:  # the package's own __init__ loads its parts by name, on first use
            problems += [f"{module}:{line}: import by string" for line in _calls(source, "import_module", "__import__")]
    return problems


def _for_types_only(source: ast.Module, node: ast.stmt) -> bool:
    blocks = [
        block
        for block in source.body
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
    ]
    return any(node in block.body for block in blocks)


def _calls(source: ast.Module, *names: str) -> list[int]:
    called = [node.func for node in ast.walk(source) if isinstance(node, ast.Call)]
    return [
        function.lineno
        for function in called
        if (function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")) in names
    ]


def star_imports(tree: Tree) -> list[str]:
    return [
        f"{module}:{node.lineno}" for module in tree.source for node, name in tree.imports(module) if name.endswith("*")
    ]


def prints(tree: Tree) -> list[str]:
    return [f"{module}:{line}" for module, source in tree.source.items() for line in _calls(source, "print")]


CHECKS = (wrong_edges, cycles, misplaced_imports, star_imports, prints)


@pytest.mark.parametrize("check", CHECKS)
def test_the_library(check):
    tree = Tree(PACKAGE)
    assert {"", "_check", "_random"} <= set(tree.source)
    assert check(tree) == []


# --- the checker itself ---


@pytest.fixture
def plant(tmp_path):
    """A function that writes ``{file: source}`` as a package and returns its tree."""

    def write(files: dict[str, str]) -> Tree:
        for name, source in {"__init__.py": "", **files}.items():
            path = tmp_path / "restorekit" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return Tree(tmp_path / "restorekit")

    return write


GOOD = {
    "__init__.py": "import importlib\ndef __getattr__(name):\n    return importlib.import_module(name)",
    "_check.py": "import torch",
    "image/__init__.py": "from restorekit.image.files import read\nfrom .colour import y",
    "image/files.py": "from restorekit._check import check_batch",
    "image/colour.py": "from restorekit.image.files import read",
    "layers/__init__.py": "from restorekit.image import read",
    "models/__init__.py": "from restorekit.models import carn",
    "models/carn.py": "from restorekit import layers\nfrom .. import image",
    "metrics.py": "from restorekit.models.carn import CARN\nfrom restorekit.layers import x",
    "losses.py": "from restorekit.metrics import ssim",
    "augment.py": "import restorekit.image",
    "data.py": "from restorekit import __version__\nfrom restorekit.image import read",
    "inference.py": "from restorekit import data, image, layers, models",
    "evaluation.py": "from restorekit import data, image, inference, metrics",
    "train/__init__.py": "from typing import TYPE_CHECKING\nfrom restorekit import augment, evaluation\n"
    "if TYPE_CHECKING:\n    import accelerate\ndef fit():\n    from accelerate import Accelerator",
    "cli.py": "import restorekit\nfrom restorekit import train\ndef f():\n    import torch",
    "__main__.py": "from restorekit import cli",
}


@pytest.mark.parametrize("check", CHECKS)
def test_a_good_tree_passes(plant, check):
    assert check(plant(GOOD)) == []


@pytest.mark.parametrize(
    ("file", "source", "problem"),
    [
        ("image.py", "from restorekit.layers import x", "image -> layers"),
        ("layers.py", "from restorekit import models", "layers -> models"),
        ("models/carn.py", "from ..metrics import psnr", "models.carn -> metrics"),
        ("metrics.py", "import restorekit.losses", "metrics -> losses"),
        ("augment.py", "from restorekit import data", "augment -> data"),
        ("data.py", "from restorekit.degrade import noise", "data -> degrade"),
        ("degrade.py", "from restorekit.augment import cutblur", "degrade -> augment"),
        ("inference.py", "from restorekit.metrics import psnr", "inference -> metrics"),
        ("evaluation.py", "from restorekit.models import carn", "evaluation -> models"),
        ("models.py", "from restorekit import train", "models -> train"),
        ("train.py", "from restorekit import cli", "train -> cli"),
        ("_check.py", "from restorekit import image", "_check -> image"),
        ("data.py", "import restorekit", "data -> the package itself"),
        ("__main__.py", "import restorekit", "__main__ -> the package itself"),
        ("data.py", "if 1:\n    try:\n        from restorekit import models\n    finally: ...", "data -> models"),
        ("utils.py", "", "utils: unknown part, give it a row in ALLOWED"),
    ],
)  # fmt: skip
def test_a_wrong_edge_is_named(plant, file, source, problem):
    parts = ("layers", "models", "metrics", "losses", "augment", "data", "degrade", "image", "train", "cli")
    others = {f"{part}.py": "" for part in parts if part not in file}
    assert wrong_edges(plant({**others, file: source})) == [problem]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (
            {"image/__init__.py": "", "image/a.py": "from . import b", "image/b.py": "from .a import x"},
            "image.a -> image.b -> image.a",
        ),
        (
            {"image/__init__.py": "from .a import x", "image/a.py": "from restorekit.image import y"},
            "image -> image.a -> image",
        ),
        ({"data.py": "import restorekit.data"}, "data -> data"),
        (
            {"image.py": "from restorekit import layers", "layers.py": "from restorekit.image import x"},
            "image -> layers -> image",
        ),
    ],
)
def test_a_cycle_is_named(plant, files, problem):
    assert cycles(plant(files)) == [problem]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def f():\n    from restorekit.image import x", "data:2: restorekit.image.x is imported inside a function"),
        ("class A:\n    async def f(self):\n        import json", "data:3: json is imported inside a function"),
        ("import matplotlib.pyplot", "data:1: matplotlib.pyplot is optional, import it where it is used"),
        ("import importlib\nx = importlib.import_module('json')", "data:2: import by string"),
        ("x = __import__('json')", "data:1: import by string"),
    ],
)
def test_a_misplaced_import_is_named(plant, source, problem):
    assert misplaced_imports(plant({"data.py": source})) == [problem]


def test_stars_and_prints_are_named(plant):
    tree = plant({"data.py": "from os import *\nprint(1)", "image.py": "from .data import *"})
    assert star_imports(tree) == ["data:1", "image:1"]
    assert prints(tree) == ["data:2"]


# --- what importing does ---


def _run(script: str) -> dict[str, object]:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_importing_the_package_loads_no_part_and_no_torch():
    loaded = _run("import json, sys, restorekit; print(json.dumps(sorted(sys.modules)))")
    assert "restorekit" in loaded
    heavy = {"torch", "numpy", "scipy", "skimage", "PIL", "accelerate", "matplotlib"}
    assert [name for name in loaded if name.startswith("restorekit.") or name in heavy] == []


IMPORT_EVERYTHING = """
import importlib, json, random, sys
import numpy, torch
import restorekit

def state():
    kind, keys, *rest = numpy.random.get_state()
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": [keys.tolist(), *rest],
        "random": repr(random.getstate()),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "dtype": str(torch.get_default_dtype()),
        "deterministic": [torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark],
        "grad": torch.is_grad_enabled(),
    }

before, changed = state(), {}
for name in restorekit.__all__:
    if name != "__version__":
        getattr(restorekit, name)
        after = state()
        changed[name] = [key for key in before if after[key] != before[key]]
        before = after
extras = ("accelerate", "matplotlib", "onnx", "onnxruntime", "onnxscript", "openvino")
optional = [name for name in extras if name in sys.modules]
print(json.dumps({"changed": changed, "optional": optional}))
"""


def test_importing_the_parts_changes_no_global_state_and_loads_no_extra():
    found = _run(IMPORT_EVERYTHING)
    assert found["optional"] == []
    assert len(found["changed"]) >= 9
    assert {name: changed for name, changed in found["changed"].items() if changed} == {}
