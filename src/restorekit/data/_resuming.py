"""Where a set that is being written stands, and whether it is the one that shall be written."""

import hashlib
import os
import re
from pathlib import Path

from restorekit.data import _manifest
from restorekit.data.folder import ImageFolder
from restorekit.image.files import atomic_path

_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.(png|jsonl)")  # what atomic_path leaves behind when its process is killed


def file_names(pictures: ImageFolder) -> list[str]:
    """What the files of each picture are called, without version and suffix; all different, even if A counts as a."""
    names: dict[str, Path] = {}
    found = []
    for path in pictures.paths:
        inside = path.relative_to(pictures.root)
        name = "_".join(inside.with_suffix("").parts)
        if not _manifest.is_safe(inside.as_posix()):
            raise ValueError(f"{path}: names with a backslash or a colon are not portable; rename the picture")
        if name.casefold() in names:
            raise ValueError(f"{names[name.casefold()]} and {path} would both be written as {name}; rename one")
        names[name.casefold()] = path
        found.append(name)
    return found


def digest_of_names(pictures: ImageFolder) -> str:
    """What tells this folder from another without reading it all: SHA-256 over names and sizes of the files."""
    total = hashlib.sha256()
    for path in pictures.paths:
        name = os.fsencode(path.relative_to(pictures.root).as_posix())
        total.update(name + f" {path.stat().st_size}\n".encode())
    return total.hexdigest()


def resume(root: Path, header: _manifest.Header) -> int:
    """Number of pictures that are done; what was torn off or left behind by a killed process goes."""
    folders = [root / "lq", *([root / "hq"] if header.copy_hq else [])]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for path in [path for folder in (root, *folders) for path in folder.iterdir()]:
        if _TEMPORARY.fullmatch(path.name):
            path.unlink()
    manifest = root / _manifest.NAME
    if manifest.exists():
        return _done(manifest, header)
    for folder in folders:
        if any(folder.iterdir()):
            raise ValueError(f"{folder} holds files but {manifest} does not exist; take another root or empty it")
    write_whole(manifest, _manifest.to_line(header))
    return 0


def _done(manifest: Path, header: _manifest.Header) -> int:
    lines = _manifest.read_lines(manifest)
    differences = _manifest.header(lines, manifest).differences(header)
    if differences:
        raise ValueError(
            f"{manifest.parent} was begun with something else: {'; '.join(differences)}; go on with that, or take "
            "another root (pictures stands for the names and sizes of the files)"
        )
    for index in range(len(lines) - 1):
        _manifest.entry(lines, index, manifest)
    whole = sum(len(line) + 1 for line in lines)
    if manifest.stat().st_size > whole:
        os.truncate(manifest, whole)
    return len(lines) - 1


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is never half there."""
    with atomic_path(path) as beside:
        beside.write_bytes(content)
