"""One call from a model and a folder to scores that can be compared with published ones."""

import dataclasses
import hashlib
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from restorekit import __version__
from restorekit._check import check_integer
from restorekit.data import PairedFolder
from restorekit.evaluation.pairs import Pairs
from restorekit.evaluation.protocol import Protocol, find_protocol
from restorekit.evaluation.result import Evaluation, Record
from restorekit.image import MAX_PIXELS, write_image
from restorekit.inference import restore
from restorekit.inference._running import check_restorer, ready
from restorekit.metrics import psnr, ssim

Metric = Callable[[Tensor, Tensor], Tensor]


def evaluate(
    model: nn.Module | Callable[[Tensor], Tensor],
    folder: str | os.PathLike[str] | PairedFolder,
    *,
    scale: int,
    protocol: str | Protocol = "sr-y",
    metrics: Mapping[str, Metric] | None = None,
    lower_is_better: Collection[str] = (),
    tile: int | Literal["auto"] | None = None,
    self_ensemble: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    keep_pictures: str | os.PathLike[str] | None = None,
    progress: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Evaluation:
    """PSNR, SSIM and metrics of your own of a restoration model on a folder of pictures, by a named protocol.

    For super-resolution the folder holds ``HR/`` and ``LRbicx{scale}/`` with equal file names (or ``name`` and ``name``
    + ``x{scale}``), or ``HR/`` alone, or the true pictures themselves. Without low-resolution pictures they are made by
    ``image.resize_uint8`` from the true ones, cut to a multiple of ``scale``. A low-resolution picture of h x w pixels
    belongs to the top left scale*h x scale*w pixels of its true one. Any two folders of degraded and true pictures,
    those of equal size (denoising, JPEG) among them, are given as ``data.PairedFolder(lq_root, hq_root, scale=1)``.

    Grey pictures count as RGB. One picture is in memory at a time, and SSIM is computed in float64.

    Args:
        model: A restorer, run through ``inference.restore``, or any function from (1, 3, h, w) in [0, 1] to
            (1, 3, scale*h, scale*w); ``lambda x: image.resize(x, 4)`` gives the row of bicubic interpolation.
        folder: The pictures.
        scale: Enlargement, at least 2, or 1 with a ``PairedFolder``; it picks the head of a multi-scale network.
        protocol: A name in ``PROTOCOLS``, or a ``Protocol`` of your own. "sr-y" rounds the output to 8 bits and keeps
            the luma unrounded; "sr-y-matlab" rounds the luma too.
        metrics: Further metrics by name, each a function (prediction, target) to one value per picture, (1,). They get
            RGB pictures of 8 bits, float32 (1, 3, H, W) in [0, 1], on the CPU and without the border, whatever colour
            the protocol compares.
        lower_is_better: Those of ``metrics`` of which less is better.
        tile: As in ``inference.restore``; for restorers only.
        self_ensemble: As in ``inference.restore``; for restorers only.
        device: Where the model runs; None means where it is (the CPU for a function).
        dtype: Type the model runs in; None means its own (float32 for a function).
        keep_pictures: Folder to write the restored pictures to as ``{name}.png``, rounded or truncated as they are
            compared; it is made where needed, and older pictures of these names are replaced.
        progress: Show a progress bar over the pictures.
        max_pixels: Most pixels accepted in one picture; a ``PairedFolder`` has its own.

    Returns:
        The scores with their protocol, hashes and settings.

    Raises:
        TypeError: ``model`` is neither a restorer nor a function, or it returns no tensor, or a metric is no function
            or returns no tensor.
        NotADirectoryError: ``folder`` is no folder.
        ValueError: The protocol or the scale is unknown, the folder has no pictures, names or sizes do not match, a
            picture has alpha or is smaller than the SSIM window, the model's answer has the wrong size or is not a
            number, a metric's name is taken or its answer not one value, or ``keep_pictures`` would mix restored
            pictures with the given ones or overwrite one with another.

    Example:
        >>> import restorekit, skimage, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     restorekit.image.write_image(f"{folder}/cat.png", skimage.data.chelsea())
        ...     round(evaluate(lambda x: restorekit.image.resize(x, 2), folder, scale=2).psnr, 2)
        35.26

    Source:
        Ahn's thesis, chapter 2, crops ``scale`` pixels and compares Y; its tables come from MATLAB code that rounds Y.
        CutBlur's code gives LPIPS the clamped output without rounding it to 8 bits; here every metric judges the
        picture that would be saved.
    """
    chosen, extra = find_protocol(protocol), _check_metrics({} if metrics is None else metrics, lower_is_better)
    check_integer(scale, "scale", 1)
    run = _runner(model, scale, tile=tile, self_ensemble=self_ensemble, device=device, dtype=dtype)
    pairs = Pairs.open(folder, scale, max_pixels)
    keep = None if keep_pictures is None else _open_keep(Path(keep_pictures), pairs)
    return Evaluation(
        records=tuple(_records(run, tqdm(pairs, disable=not progress, unit="picture"), chosen, scale, extra, keep)),
        protocol=chosen,
        scale=scale,
        crop=chosen.border(scale),
        self_ensemble=self_ensemble,
        tile=tile,
        dtype=None if dtype is None else str(dtype).removeprefix("torch."),
        weight_hash=_hash_weights(model) if isinstance(model, nn.Module) else None,
        data_hash=pairs.hash(),
        lq_source=pairs.source(),
        version=__version__,
        lower_is_better=tuple(metric for metric in extra if metric in lower_is_better),
    )


def _check_metrics(metrics: Mapping[str, Metric], lower_is_better: Collection[str]) -> dict[str, Metric]:
    if not isinstance(metrics, Mapping):
        raise TypeError(f"metrics must be a mapping of names to functions, got {type(metrics).__name__}")
    taken = {field.name for kind in (Record, Evaluation) for field in dataclasses.fields(kind)} | {"pictures"}
    for name, metric in metrics.items():
        if not isinstance(name, str) or not name or name in taken:
            raise ValueError(f"a metric cannot be called {name!r}; taken are {', '.join(sorted(taken))}")
        if not callable(metric):
            raise TypeError(f"metrics[{name!r}] must be a function of two pictures, got {type(metric).__name__}")
    if isinstance(lower_is_better, str) or not set(lower_is_better) <= metrics.keys():
        raise ValueError(f"lower_is_better must be names from metrics, {tuple(metrics)}, got {lower_is_better!r}")
    return dict(metrics)


def _open_keep(folder: Path, pairs: Pairs) -> Path:
    """The folder to keep pictures in, made if it is not there; the given pictures are safe from it."""
    names = pairs.names()
    if len(set(names)) < len(names):
        raise ValueError("keep_pictures needs pictures of different names, suffixes aside; rename the equal ones")
    given = {path.resolve() for path in pairs.files()}  # pictures are written through links, and may be links
    folders = {path.parent for path in given} | {path.parent.resolve() for path in pairs.files()}
    if folder.resolve() in folders or any((folder / f"{name}.png").resolve() in given for name in names):
        raise ValueError(f"keep_pictures={str(folder)!r} holds the given pictures; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _runner(
    model: nn.Module | Callable[[Tensor], Tensor],
    scale: int,
    *,
    tile: int | Literal["auto"] | None,
    self_ensemble: bool,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> Callable[[Tensor], Tensor]:
    if isinstance(model, nn.Module):
        restorer = check_restorer(model)
        restorer.pick_scale(scale)
        restorer = ready(restorer, scale, device, dtype)  # once, not for each picture
        return partial(restore, restorer, scale=scale, tile=tile, self_ensemble=self_ensemble)
    if not callable(model):
        raise TypeError(f"model must be an nn.Module or a function of a tensor, got {type(model).__name__}")
    if tile is not None or self_ensemble:
        raise ValueError("tile and self_ensemble need an nn.Module restorer, got a plain function")

    def run(lq: Tensor) -> Tensor:
        with torch.no_grad():
            return model(lq.to(device=device, dtype=dtype))

    return run


def _records(
    run: Callable[[Tensor], Tensor],
    pairs: Iterable[tuple[Path, Tensor, Tensor]],
    protocol: Protocol,
    scale: int,
    metrics: Mapping[str, Metric],
    keep: Path | None,
) -> Iterator[Record]:
    for path, lq, hq in pairs:
        try:
            prediction = run(lq)
            yield _score(path.stem, prediction, hq, protocol, protocol.border(scale), metrics)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if keep is not None:
            write_image(keep / f"{path.stem}.png", protocol.picture(prediction))


def _score(
    name: str, prediction: Tensor, target: Tensor, protocol: Protocol, border: int, metrics: Mapping[str, Metric]
) -> Record:
    if not isinstance(prediction, Tensor):
        raise TypeError(f"{name}: the model must return a tensor, got {type(prediction).__name__}")
    if prediction.shape != target.shape:
        raise ValueError(f"the model must return {tuple(target.shape)}, got {tuple(prediction.shape)}")
    first, second = protocol.prediction(prediction), protocol.target(target)
    quality = psnr(first, second, crop_border=border).item()
    if math.isnan(quality):
        raise ValueError("the model returned values that are not numbers")
    height, width = target.shape[-2:]
    structure = ssim(first, second, crop_border=border).item()
    pictures = protocol.picture(prediction), find_protocol("rgb").target(target)
    seen = [x[..., border : height - border, border : width - border].float() for x in pictures]
    with torch.no_grad():
        extra = tuple((metric, _single(metric, function(*seen))) for metric, function in metrics.items())
    return Record(name, height, width, quality, structure, extra)


def _single(metric: str, value: Tensor) -> float:
    if not isinstance(value, Tensor):
        raise TypeError(f"{metric} must return a tensor, one value per picture, got {type(value).__name__}")
    if value.shape != (1,):
        raise ValueError(f"{metric} must return one value for each of 1 picture, got shape {tuple(value.shape)}")
    return float(value)


def _hash_weights(model: nn.Module) -> str:
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        tensor = value.detach().cpu().contiguous()
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()
