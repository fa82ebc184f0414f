"""Put trained weights into the package: rounded to half precision, with a card, a curve and a hash.

    cd benchmarks && python -m weights.ship --runs RUNS --scores ../docs/weights.json

Those are put there that were scored; without names, all of them.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from restorekit.image import atomic_path
from weights.card import card
from weights.plots import curve

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "restorekit" / "weights"
PICTURES = ROOT / "docs" / "pictures" / "weights"
SUMS = "SHA256SUMS"

Content = tuple[dict[str, torch.Tensor], dict[str, str]]


def copy(source: Path, target: Path, *, half: bool) -> None:
    """Write the tensors and the metadata of a file to another one; with ``half`` floating tensors in half precision."""
    tensors, metadata = read(source)
    if half:
        tensors = {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}
    if target.exists() and same(read(target), (tensors, metadata)):
        return  # the order of the metadata differs from call to call, and with it the hash
    with atomic_path(target) as beside:
        save_file(tensors, beside, metadata=metadata)


def read(path: Path) -> Content:
    """All tensors of a file, and its metadata."""
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118


def same(one: Content, other: Content) -> bool:
    """Whether two files hold the same."""
    (tensors, metadata), (others, theirs) = one, other
    if metadata != theirs or tensors.keys() != others.keys():
        return False
    return all(value.dtype == others[key].dtype and torch.equal(value, others[key]) for key, value in tensors.items())


def write_sums(folder: Path) -> None:
    """Hashes of all safetensors files of a folder, in the form of ``sha256sum``."""
    found = {path.name: sha256(path) for path in sorted(folder.glob("*.safetensors"))}
    with atomic_path(folder / SUMS) as beside:
        beside.write_text("".join(f"{digest}  {name}\n" for name, digest in found.items()), encoding="utf-8")


def sha256(path: Path) -> str:
    """Of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def ship(name: str, found: Mapping[str, Any], runs: Path, package: Path, pictures: Path) -> None:
    """The file, its card and its curve."""
    source = runs / name / "weights.safetensors"
    if sha256(source) != found["source"]:
        raise ValueError(f"{source} is not the file that was scored; run weights.score for {name} again")
    copy(source, package / f"{name}.safetensors", half=found["stored"] == "half")
    with atomic_path(package / f"{name}.md") as beside:
        beside.write_text(card(name, found), encoding="utf-8")
    curve(name, found["training"], pictures / f"{name}.png")


def main(arguments: list[str] | None = None) -> None:
    """Ship by name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help="which; without, all that were scored")
    parser.add_argument("--runs", type=Path, required=True, help="folder of runs")
    parser.add_argument("--scores", type=Path, required=True, help="what weights.score wrote")
    parser.add_argument("--package", type=Path, default=PACKAGE, help="folder of the weights (default: the library's)")
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="folder of the curves (default: the docs')")
    chosen = parser.parse_args(arguments)
    report = json.loads(chosen.scores.read_text(encoding="utf-8"))["weights"]
    for name in chosen.names or report:
        ship(name, report[name], chosen.runs, chosen.package, chosen.pictures)
    write_sums(chosen.package)


if __name__ == "__main__":
    main()
