"""One call from a model and a folder to scores that can be compared with published ones."""

import hashlib
import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from restorekit import __version__
from restorekit._check import check_integer
from restorekit.evaluation.pairs import Pairs
from restorekit.evaluation.protocol import Protocol, find_protocol
from restorekit.evaluation.result import Evaluation, Record
from restorekit.image import MAX_PIXELS
from restorekit.inference import restore
from restorekit.inference._running import check_restorer, placed
from restorekit.metrics import psnr, ssim


def evaluate(
    model: nn.Module | Callable[[Tensor], Tensor],
    folder: str | os.PathLike[str],
    *,
    scale: int,
    protocol: str | Protocol = "sr-y",
    tile: int | Literal["auto"] | None = None,
    self_ensemble: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    progress: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Evaluation:
    """PSNR and SSIM of a super-resolution model on a folder of pictures, by a named protocol.

    The folder holds ``HR/`` and ``LRbicx{scale}/`` with equal file names (or ``name`` and ``name`` + ``x{scale}``),
    or ``HR/`` alone, or the true pictures themselves. Without low-resolution pictures they are made by
    ``image.resize_uint8`` from the true ones, cut to a multiple of ``scale``. A low-resolution picture of h x w pixels
    belongs to the top left scale*h x scale*w pixels of its true one. Grey pictures count as RGB. One picture is in
    memory at a time, and SSIM is computed in float64.

    Args:
        model: A restorer, run through ``inference.restore``, or any function from (1, 3, h, w) in [0, 1] to
            (1, 3, scale*h, scale*w); ``lambda x: image.resize(x, 4)`` gives the row of bicubic interpolation.
        folder: The pictures.
        scale: Enlargement, at least 2; it picks the head of a multi-scale network.
        protocol: A name in ``PROTOCOLS``, or a ``Protocol`` of your own. "sr-y" rounds the output to 8 bits and keeps
            the luma unrounded; "sr-y-matlab" rounds the luma too.
        tile: As in ``inference.restore``; for restorers only.
        self_ensemble: As in ``inference.restore``; for restorers only.
        device: Where the model runs; None means where it is (the CPU for a function).
        dtype: Type the model runs in; None means its own (float32 for a function).
        progress: Show a progress bar over the pictures.
        max_pixels: Most pixels accepted in one picture.

    Returns:
        The scores with their protocol, hashes and settings.

    Raises:
        TypeError: ``model`` is neither a restorer nor a function, or it returns no tensor.
        NotADirectoryError: ``folder`` is no folder.
        ValueError: The protocol or the scale is unknown, the folder has no pictures, names or sizes do not match, a
            picture has alpha or is smaller than the SSIM window, or the model's answer has the wrong size or is not a
            number.

    Example:
        >>> import restorekit, skimage, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     restorekit.image.write_image(f"{folder}/cat.png", skimage.data.chelsea())
        ...     round(evaluate(lambda x: restorekit.image.resize(x, 2), folder, scale=2).psnr, 2)
        35.26

    Source:
        Ahn's thesis, chapter 2, crops ``scale`` pixels and compares Y; its tables come from MATLAB code that rounds Y.
    """
    check_integer(scale, "scale", 2)
    chosen = find_protocol(protocol)
    run = _runner(model, scale, tile=tile, self_ensemble=self_ensemble, device=device, dtype=dtype)
    pairs = Pairs.open(Path(folder), scale, max_pixels)
    records = []
    for path, lq, hq in tqdm(pairs, disable=not progress, unit="picture"):
        try:
            records.append(_score(path.stem, run(lq), hq, chosen, scale))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    return Evaluation(
        records=tuple(records),
        protocol=chosen,
        scale=scale,
        crop=scale,
        self_ensemble=self_ensemble,
        tile=tile,
        dtype=None if dtype is None else str(dtype).removeprefix("torch."),
        weight_hash=_hash_weights(model) if isinstance(model, nn.Module) else None,
        data_hash=pairs.hash(),
        lq_source=pairs.source(),
        version=__version__,
    )


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
        restorer = placed(check_restorer(model), device, dtype)  # once, not for each picture
        restorer.pick_scale(scale)
        return partial(restore, restorer, scale=scale, tile=tile, self_ensemble=self_ensemble)
    if not callable(model):
        raise TypeError(f"model must be an nn.Module or a function of a tensor, got {type(model).__name__}")
    if tile is not None or self_ensemble:
        raise ValueError("tile and self_ensemble need an nn.Module restorer, got a plain function")

    def run(lq: Tensor) -> Tensor:
        with torch.no_grad():
            return model(lq.to(device=device, dtype=dtype))

    return run


def _score(name: str, prediction: Tensor, target: Tensor, protocol: Protocol, scale: int) -> Record:
    if not isinstance(prediction, Tensor):
        raise TypeError(f"{name}: the model must return a tensor, got {type(prediction).__name__}")
    if prediction.shape != target.shape:
        raise ValueError(f"the model must return {tuple(target.shape)}, got {tuple(prediction.shape)}")
    first, second = protocol.prediction(prediction), protocol.target(target)
    quality = psnr(first, second, crop_border=scale).item()
    if math.isnan(quality):
        raise ValueError("the model returned values that are not numbers")
    height, width = target.shape[-2:]
    return Record(name, height, width, quality, ssim(first, second, crop_border=scale).item())


def _hash_weights(model: nn.Module) -> str:
    total = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        tensor = value.detach().cpu().contiguous()
        total.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()
