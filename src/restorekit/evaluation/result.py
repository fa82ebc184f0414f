"""What an evaluation found, as a table, as JSON and as CSV."""

import csv
import dataclasses
import io
import json
import math
import os
from dataclasses import dataclass
from statistics import fmean

from restorekit.evaluation.protocol import Protocol
from restorekit.image import atomic_path


@dataclass(frozen=True)
class Record:
    """The score of one picture.

    Args:
        name: File name without its suffix.
        height: Rows that the model restored, before the border crop.
        width: Columns that the model restored, before the border crop.
        psnr: In dB.
        ssim: At most 1.
        extra: Name and value of every further metric.

    Example:
        >>> Record("cat", height=300, width=451, psnr=34.5, ssim=0.93).psnr
        34.5
    """

    name: str
    height: int
    width: int
    psnr: float
    ssim: float
    extra: tuple[tuple[str, float], ...] = ()

    @property
    def scores(self) -> dict[str, float]:
        """All values by the name of their metric, "psnr" and "ssim" first."""
        return {"psnr": self.psnr, "ssim": self.ssim, **dict(self.extra)}

    def row(self) -> dict[str, object]:
        """Everything, with the further metrics beside the others, for JSON and CSV."""
        return {"name": self.name, "height": self.height, "width": self.width, **self.scores}


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` found, with everything the numbers depend on; ``print`` shows it as a table.

    Args:
        records: One score per picture, in order of name.
        protocol: The comparison that was made.
        scale: Enlargement.
        crop: Border left out on every side, in pixels.
        lq_source: Folder the degraded pictures came from, or "resize_uint8" where low-resolution ones were made.
        self_ensemble: Whether each answer is the mean over the 8 flips and rotations.
        tile: Tile the model ran with; None means whole pictures.
        dtype: Type the model was asked to run in; None means its own.
        weight_hash: SHA-256 over names, shapes, types and bytes of the weights; None for a plain callable.
        data_hash: SHA-256 over names and bytes of the picture files.
        version: Version of restorekit.
        lower_is_better: Those of the further metrics of which less is better.

    Example:
        >>> import restorekit, skimage, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
        ...     restorekit.image.write_image(f"{folder}/cat.png", skimage.data.chelsea())
        ...     print(restorekit.evaluation.evaluate(lambda x: restorekit.image.resize(x, 2), folder, scale=2))
        sr-y: output rounded to 8 bits, Y unrounded, crop 2, x2
        pictures 1 (...), low resolution from resize_uint8, weights none, restorekit ...
        picture     PSNR     SSIM
        cat       35.257   0.9160
        mean      35.257   0.9160
    """

    records: tuple[Record, ...]
    protocol: Protocol
    scale: int
    crop: int
    lq_source: str
    self_ensemble: bool
    tile: int | str | None
    dtype: str | None
    weight_hash: str | None
    data_hash: str
    version: str
    lower_is_better: tuple[str, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of all metrics, "psnr" and "ssim" first."""
        return tuple(self.records[0].scores)

    def values(self, metric: str) -> tuple[float, ...]:
        """The value of one metric for each picture.

        Args:
            metric: One of ``metrics``.

        Returns:
            In the order of ``records``.

        Raises:
            ValueError: The metric was not measured.
        """
        if metric not in self.metrics:
            raise ValueError(f"metric must be one of {', '.join(self.metrics)}, got {metric!r}")
        return tuple(record.scores[metric] for record in self.records)

    def mean(self, metric: str) -> float:
        """Mean over the pictures of one metric.

        Args:
            metric: One of ``metrics``.

        Returns:
            The mean.

        Raises:
            ValueError: The metric was not measured.
        """
        values = self.values(metric)
        return math.nan if {math.inf, -math.inf} <= set(values) else fmean(values)  # of which fmean makes an error

    @property
    def psnr(self) -> float:
        """Mean over the pictures of their PSNR, in dB."""
        return self.mean("psnr")

    @property
    def ssim(self) -> float:
        """Mean over the pictures of their SSIM."""
        return self.mean("ssim")

    def __str__(self) -> str:
        rows = [(record.name, record.scores) for record in self.records]
        rows.append(("mean", {metric: self.mean(metric) for metric in self.metrics}))
        width = max(len("picture"), *(len(name) for name, _ in rows))
        titles = " ".join(f"{_title(metric):>8}" for metric in self.metrics)
        lines = [self.conditions(), f"{'picture':<{width}} {titles}"]
        lines += [" ".join([f"{name:<{width}}", *(_cell(*score) for score in scores.items())]) for name, scores in rows]
        return "\n".join(lines)

    def conditions(self) -> str:
        """Two lines of what the numbers depend on."""
        ensemble = ", self-ensemble" if self.self_ensemble else ""
        degraded = "low resolution" if self.scale > 1 else "degraded"
        return (
            f"{self.protocol}, crop {self.crop}, x{self.scale}{ensemble}\n"
            f"pictures {len(self.records)} ({self.data_hash[:12]}), {degraded} from {self.lq_source}, "
            f"weights {(self.weight_hash or 'none')[:12]}, restorekit {self.version}"
        )

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """All fields, the number of pictures and the means as JSON; infinity becomes the string "Infinity".

        Args:
            path: File to write as well; it is replaced only when complete.

        Returns:
            The JSON text.
        """
        summary = {"pictures": len(self.records)} | {metric: self.mean(metric) for metric in self.metrics}
        fields = dataclasses.asdict(self) | {"records": [record.row() for record in self.records]}
        text = json.dumps(_strict(summary | fields), indent=2, allow_nan=False)
        if path is not None:
            _write(path, text + "\n")
        return text

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one row per picture; each row repeats the protocol and the hashes that its numbers belong to.

        Args:
            path: File to write; it is replaced only when complete.
        """
        shared = {"protocol": self.protocol.name, "scale": self.scale, "crop": self.crop}
        hashes = {"weight_hash": self.weight_hash, "data_hash": self.data_hash, "version": self.version}
        rows = [record.row() | shared | hashes for record in self.records]
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        _write(path, text.getvalue())


def _title(metric: str) -> str:
    return metric.upper() if metric in {"psnr", "ssim"} else metric


def _cell(metric: str, value: float) -> str:
    form = ".3f" if metric == "psnr" else score_format(metric, value)
    return f"{value:{max(8, len(metric))}{form}}"


def score_format(metric: str, value: float) -> str:
    """Four decimals; three digits of what these would leave nothing of, such as a small squared error."""
    return ".3g" if metric != "ssim" and 0 < abs(value) < 0.01 else ".4f"


def _strict(value: object) -> object:
    """A copy for JSON, which knows neither infinity nor NaN."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value).replace("inf", "Infinity").replace("nan", "NaN")
    return value


def _write(path: str | os.PathLike[str], text: str) -> None:
    with atomic_path(path) as temporary:
        # Names of files in another encoding than the system's hold what is no text.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
