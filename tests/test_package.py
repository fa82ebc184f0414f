"""What the files around the code promise: versions agree, pins are exact, the two commands are the ones that run."""

import importlib.metadata
import os
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import restorekit

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _pins() -> dict[str, str]:
    lines = [line for line in _read("constraints.txt").splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def test_the_version_is_the_same_everywhere():
    version = PROJECT["project"]["version"]
    assert restorekit.__version__ == version == importlib.metadata.version("restorekit")
    assert f"\n## [{version}]" in _read("CHANGELOG.md")
    assert f"\nversion: {version}\n" in _read("CITATION.cff")


def test_dir_lists_the_parts_and_nothing_else():
    assert dir(restorekit) == sorted(restorekit.__all__)


def test_parts_load_on_first_use():
    assert restorekit.image.__name__ == "restorekit.image"


def test_an_unknown_part_is_answered_with_the_known_ones():
    with pytest.raises(AttributeError, match=r"no attribute 'colour'; its parts are augment, data, .*train"):
        restorekit.colour  # noqa: B018


def test_the_package_is_marked_as_typed():
    assert (Path(restorekit.__file__).parent / "py.typed").is_file()


def test_torch_is_pinned_before_anything_else():
    assert next(iter(_pins().items())) == ("torch", "2.13.0")


def _requirements() -> list[str]:
    project = PROJECT["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    return [*project["dependencies"], *extras, *PROJECT["build-system"]["requires"]]


@pytest.mark.parametrize("line", _requirements())
def test_each_requirement_has_a_pin_in_its_range(line):
    requirement = Requirement(line)
    assert requirement.specifier.contains(_pins()[canonicalize_name(requirement.name)])


def test_the_core_is_small():
    core = {Requirement(line).name for line in PROJECT["project"]["dependencies"]}
    assert core == {"torch", "numpy", "einops", "pillow", "scipy", "scikit-image", "safetensors", "tqdm"}


def test_no_registry_is_named():
    for name in ("constraints.txt", "pyproject.toml", ".ci/run", "README.md", "docs/install.md"):
        assert re.search(r"index-url|find-links|https?://\S*(pypi|whl|simple)", _read(name)) is None, name


def test_the_licence_is_the_one_that_the_project_names():
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in _read("LICENSE").splitlines()[1]
    assert "END OF TERMS AND CONDITIONS" in _read("LICENSE")


def test_the_readme_has_two_commands_and_ci_runs_the_second():
    commands = re.findall(r"```bash\n(.*?)\n```", _read("README.md").partition("## From a fresh clone")[2], re.DOTALL)
    assert len(commands) == 2
    install, test = commands
    assert install.endswith("&& .venv/bin/python examples/01_restore_photo.py")
    assert "-c constraints.txt" in install
    assert "\n" not in install + test
    assert test == ".venv/bin/python -m pytest -n auto --dist worksteal"
    assert r"grep -m 1 -E '^\.venv/bin/python -m pytest' README.md" in _read(".ci/run")


def test_ci_can_be_run():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_readme_shows_the_fixed_calls():
    readme = _read("README.md")
    for call in ("import restorekit", "restorekit.models.carn(scale=4)", "restorekit.augment.cutblur(lq, hq)"):
        assert call in readme
