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

    Example:
        >>> Record("cat", height=300, width=451, psnr=34.5, ssim=0.93).psnr
        34.5
    """

    name: str
    height: int
    width: int
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` found, with everything the numbers depend on; ``print`` shows it as a table.

    Args:
        records: One score per picture, in order of name.
        protocol: The comparison that was made.
        scale: Enlargement.
        crop: Border left out on every side, in pixels.
        lq_source: Folder the low-resolution pictures came from, or "resize_uint8" where they were made.
        self_ensemble: Whether each answer is the mean over the 8 flips and rotations.
        tile: Tile the model ran with; None means whole pictures.
        dtype: Type the model was asked to run in; None means its own.
        weight_hash: SHA-256 over names, shapes, types and bytes of the weights; None for a plain callable.
        data_hash: SHA-256 over names and bytes of the picture files.
        version: Version of restorekit.

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

    @property
    def psnr(self) -> float:
        """Mean over the pictures of their PSNR, in dB."""
        return fmean(record.psnr for record in self.records)

    @property
    def ssim(self) -> float:
        """Mean over the pictures of their SSIM."""
        return fmean(record.ssim for record in self.records)

    def __str__(self) -> str:
        rows = [(record.name, record.psnr, record.ssim) for record in self.records]
        rows.append(("mean", self.psnr, self.ssim))
        width = max(len("picture"), *(len(name) for name, *_ in rows))
        ensemble = ", self-ensemble" if self.self_ensemble else ""
        header = (
            f"{self.protocol}, crop {self.crop}, x{self.scale}{ensemble}\n"
            f"pictures {len(self.records)} ({self.data_hash[:12]}), low resolution from {self.lq_source}, "
            f"weights {(self.weight_hash or 'none')[:12]}, restorekit {self.version}\n"
            f"{'picture':<{width}} {'PSNR':>8} {'SSIM':>8}\n"
        )
        return header + "\n".join(f"{name:<{width}} {p:8.3f} {s:8.4f}" for name, p, s in rows)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """All fields, the number of pictures and the means as JSON; infinite PSNR becomes the string "Infinity".

        Args:
            path: File to write as well; it is replaced only when complete.

        Returns:
            The JSON text.
        """
        summary = {"pictures": len(self.records), "psnr": self.psnr, "ssim": self.ssim}
        text = json.dumps(_finite(summary | dataclasses.asdict(self)), indent=2, allow_nan=False)
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
        rows = [dataclasses.asdict(record) | shared | hashes for record in self.records]
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        _write(path, text.getvalue())


def _finite(value: object) -> object:
    """A copy for JSON, which knows no infinity."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return "Infinity" if value == math.inf else value


def _write(path: str | os.PathLike[str], text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
