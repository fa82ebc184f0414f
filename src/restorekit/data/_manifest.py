"""The list of a written set: a header line that says what it is, then one line for each picture, in order."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

FORMAT = 1
NAME = "manifest.jsonl"
_LONGEST = 255  # bytes of a file name that the common systems take


@dataclass(frozen=True)
class Header:
    """What decides the files of a set."""

    count: int
    variants: int
    seed: int
    crop: int | None
    scale: int
    copy_hq: bool
    composition: str
    pictures: str
    restorekit: int = FORMAT

    def differences(self, other: Self) -> list[str]:
        """The fields in which two headers differ, each with both values."""
        mine, theirs = asdict(self), asdict(other)
        return [f"{name} was {mine[name]!r}, is now {theirs[name]!r}" for name in mine if mine[name] != theirs[name]]


@dataclass(frozen=True)
class Entry:
    """One degraded picture, the clean one that it was made of, and how."""

    lq: str
    lq_sha256: str
    hq: str
    hq_sha256: str
    recipe: dict[str, Any]


_HEADER_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("count", "variants", "seed", "scale", "restorekit"), (int,)),
    **dict.fromkeys(("composition", "pictures"), (str,)),
    "crop": (int, type(None)),
    "copy_hq": (bool,),
}
_ENTRY_TYPES: dict[str, tuple[type, ...]] = {
    **{field.name: (str,) for field in fields(Entry)},
    "recipe": (dict,),
}


def to_line(record: Header | Entry) -> bytes:
    """A line of the list, with its end; the same bytes for the same record."""
    return json.dumps(asdict(record), allow_nan=False).encode() + b"\n"


def read_lines(path: Path) -> list[bytes]:
    """The whole lines of a list, without their ends; one that was torn off is left out."""
    return path.read_bytes().split(b"\n")[:-1]


def header(lines: list[bytes], path: Path) -> Header:
    """The first line."""
    if not lines:
        raise ValueError(f"{path}, line 1: no header; the file is not what write_degraded wrote")
    record = _record(lines[0], f"{path}, line 1", _HEADER_TYPES)
    if record["restorekit"] != FORMAT:
        raise ValueError(f"{path}, line 1: format {record['restorekit']} is not {FORMAT}, the only one known")
    return Header(**record)


def entry(lines: list[bytes], index: int, path: Path) -> Entry:
    """Picture ``index``, from 0; its names lie inside the folders of the set."""
    where = f"{path}, line {index + 2}"
    found = Entry(**_record(lines[index + 1], where, _ENTRY_TYPES))
    if "/" in found.lq or not (is_safe(found.lq) and is_safe(found.hq)):
        raise ValueError(f"{where}: the names {found.lq!r:.80} and {found.hq!r:.80} are not plain names inside the set")
    return found


def is_safe(name: str) -> bool:
    """Whether a relative path can be that of a file, and stays inside its folder, whatever the system makes of it."""
    try:
        longest = max(len(os.fsencode(part)) for part in name.split("/"))
    except UnicodeEncodeError:
        return False
    return longest <= _LONGEST and not set(name.split("/")) & {"", ".", ".."} and not set(name) & set("\\:\0")


def _record(line: bytes, where: str, types: dict[str, tuple[type, ...]]) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:  # bytes that are no text raise the first too
        raise ValueError(f"{where}: not JSON ({error}); the file was damaged or changed") from None
    if not isinstance(record, dict) or record.keys() != types.keys():
        raise ValueError(f"{where}: expected an object with the keys {', '.join(types)}")
    for key, value in record.items():
        if not isinstance(value, types[key]) or (isinstance(value, bool) and bool not in types[key]):
            names = " or ".join(kind.__name__ for kind in types[key])
            raise ValueError(f"{where}: {key} must be {names}, got {value!r:.80}")
    return record
