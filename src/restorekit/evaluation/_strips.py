"""The restored pictures of a report, embedded, with what they scored."""

import base64
import io
import os
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from PIL import Image

from restorekit.data import ImageFolder
from restorekit.evaluation.comparison import Comparison, best_of, number, title
from restorekit.evaluation.result import Record
from restorekit.image import read_image, to_image, to_tensor

JPEG_QUALITY = 90

Files = dict[str, dict[str, Path]]


def open_pictures(pictures: Mapping[str, str | os.PathLike[str]], comparison: Comparison) -> Files:
    """Files by column and by name of the picture; each column has all pictures, each name once."""
    if not isinstance(pictures, Mapping):
        raise TypeError(f"pictures must be a mapping of names to folders, got {type(pictures).__name__}")
    names = [record.name for record in comparison.evaluations[0].records]
    if pictures and len(set(names)) < len(names):
        raise ValueError("pictures of one name, suffixes aside, cannot be told apart; rename them or show none")
    files: Files = {}
    for column, folder in pictures.items():
        paths = ImageFolder(folder).paths
        files[column] = {path.stem: path for path in paths}
        missing = [name for name in names if name not in files[column]]
        if missing:
            raise ValueError(f"{folder} has no picture {missing[0]!r} for {column!r} ({len(missing)} are missing)")
        if len(files[column]) < len(paths):
            raise ValueError(f"{folder} has two pictures of one name, suffixes aside; which to show is unclear")
    return files


def strips(comparison: Comparison, files: Files, shown: int, lossless: bool) -> Iterator[str]:
    """One section of HTML for each of the first ``shown`` pictures."""
    for index, record in enumerate(comparison.evaluations[0].records[:shown] if files else ()):
        figures = [_figure(comparison, column, paths[record.name], index, lossless) for column, paths in files.items()]
        name = escape(record.name)
        yield (
            f'<section class="strip" aria-label="{name}"><h3>{name} <small>{record.width} × {record.height}</small> '
            f'<button type="button" class="zoom" aria-pressed="false" aria-label="Enlarge {name}">Enlarge</button></h3>'
            f'<div class="row">{"".join(figures)}</div></section>\n'
        )


def _figure(comparison: Comparison, column: str, path: Path, index: int, lossless: bool) -> str:
    scores = ""
    record = comparison.evaluations[0].records[index]
    if column in comparison.methods:
        record = comparison.evaluations[comparison.methods.index(column)].records[index]
        scores = " ".join(_score(comparison, metric, value, index) for metric, value in record.scores.items())
    name = escape(column)
    source = _embedded(_cut(path, record), lossless)
    size = f'width="{record.width}" height="{record.height}"'
    picture = f'<img src="{source}" {size} alt="{escape(record.name)}, {name}" decoding="async">'
    return f'<figure><div class="view">{picture}</div><figcaption><b>{name}</b> {scores}</figcaption></figure>'


def _score(comparison: Comparison, metric: str, value: float, index: int) -> str:
    text = f"{escape(title(metric).split(',')[0])} {number(metric, value)}"
    values = [result.records[index].scores[metric] for result in comparison.evaluations]
    best = best_of(values, metric in comparison.evaluations[0].lower_is_better)
    return f'<span class="best">{text}</span>' if value == best else f"<span>{text}</span>"


def _cut(path: Path, record: Record) -> Image.Image:
    picture = to_image(to_tensor(read_image(path)))
    if picture.width < record.width or picture.height < record.height:
        raise ValueError(
            f"{path}: {picture.height} x {picture.width} pixels are less than the {record.height} x {record.width} of "
            "its record; show pictures of the restored size"
        )
    return picture.crop((0, 0, record.width, record.height))


def _embedded(picture: Image.Image, lossless: bool) -> str:
    file = io.BytesIO()
    if lossless:
        picture.save(file, "PNG")
    else:
        picture.convert("RGB").save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
