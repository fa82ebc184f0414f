"""Files that hold the discriminators of a picture's scales: what the MDF loss is made of."""

import json
import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from restorekit.image import atomic_path
from restorekit.models._interpreter import shortened
from restorekit.models._legacy import is_legacy, read_legacy
from restorekit.models._loading import FORMAT, FORMAT_VERSION, read_tensors
from restorekit.models.singan import SinGANDiscriminator

__all__ = ["load_discriminators", "save_discriminators"]

_MODEL = "SinGANDiscriminators"
_MOST = 64  # discriminators in a file, and far more than a picture has scales
_WIDEST = 1024  # channels of a discriminator; the published ones have 128 at most
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def save_discriminators(
    discriminators: Sequence[SinGANDiscriminator],
    path: str | PathLike[str],
    *,
    half: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the discriminators of all scales to one safetensors file, as "<index>.<key>".

    The file is written beside and renamed, so that an old one survives a full disk or a killed process.

    Args:
        discriminators: From the coarsest scale to the finest, at most 64, on any device.
        path: Target with the suffix ``.safetensors``.
        half: Store the kernels in float16, which halves the file; biases and norms, 1 % of it, stay exact.
        metadata: Words to keep in the file beside its own, such as the task it was trained for.

    Raises:
        TypeError: Something else than discriminators, or metadata that is no text.
        ValueError: No discriminators or too many, one that is too wide or for other channels than the first, another
            suffix, metadata with the name of a field of the file, a weight that is not finite or too large for float16.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_discriminators([SinGANDiscriminator(channels=4)] * 2, f"{folder}/ds.safetensors", half=True)
        ...     len(load_discriminators(f"{folder}/ds.safetensors"))
        2
    """
    _check_discriminators(discriminators)
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"path must end in .safetensors, got {Path(path).name!r}")
    tensors = {
        f"{i}.{key}": _stored(tensor, f"{i}.{key}", half)
        for i, discriminator in enumerate(discriminators)
        for key, tensor in discriminator.state_dict().items()
    }
    config = json.dumps({"discriminators": [discriminator.config for discriminator in discriminators]}, sort_keys=True)
    fields = {"format": FORMAT, "format_version": FORMAT_VERSION, "model": _MODEL, "config": config}
    words = _checked_words(metadata or {}, fields)
    with atomic_path(path) as beside:
        save_file(tensors, beside, metadata=words | fields)


def _check_discriminators(discriminators: Sequence[SinGANDiscriminator]) -> None:
    if not isinstance(discriminators, Sequence) or not all(isinstance(d, SinGANDiscriminator) for d in discriminators):
        kinds = {type(d).__name__ for d in discriminators} if isinstance(discriminators, Sequence) else set()
        found = ", ".join(sorted(kinds)) or type(discriminators).__name__
        raise TypeError(f"discriminators must be a list of models.SinGANDiscriminator, got {found}")
    if not 0 < len(discriminators) <= _MOST:
        raise ValueError(f"discriminators must be 1 to {_MOST}, got {len(discriminators)}")
    for i, discriminator in enumerate(discriminators):
        _check_sizes(i, discriminator.config["in_channels"], discriminator.config["channels"], "discriminators")
        if discriminator.in_channels != discriminators[0].in_channels:
            raise ValueError(
                f"discriminators must look at the same picture, but number {i} takes {discriminator.in_channels} "
                f"channels and number 0 takes {discriminators[0].in_channels}"
            )


def _check_sizes(index: int, in_channels: int, channels: int, name: str) -> None:
    if not 0 < in_channels <= _WIDEST or not 0 < channels <= _WIDEST:
        raise ValueError(
            f"{name}: number {index} has {channels} channels for pictures of {in_channels}; 1 to {_WIDEST} are read"
        )


def _stored(tensor: Tensor, key: str, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous().clone()  # a list may name one discriminator twice
    if not tensor.is_floating_point():
        return tensor
    if not tensor.isfinite().all():
        raise ValueError(f"{key} holds a value that is not finite; train again from before it went wrong")
    if half and tensor.ndim == 4:
        tensor = tensor.half()
        if not tensor.isfinite().all():
            raise ValueError(f"{key} holds a value too large for float16 (65504); save it with half=False")
    return tensor


def _checked_words(metadata: Mapping[str, str], fields: Mapping[str, str]) -> dict[str, str]:
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"metadata must hold text by name, got {name!r}: {type(value).__name__}")
        if name in fields:
            raise ValueError(f"metadata may not hold {name!r}, which the file itself has; use another name")
    return dict(metadata)


def load_discriminators(path: str | PathLike[str]) -> list[SinGANDiscriminator]:
    """Read the discriminators of all scales.

    The authors of the MDF loss published three files, ``Ds_SISR.pth``, ``Ds_Denoising.pth`` and ``Ds_JPEG.pth``, which
    hold whole networks; they are read without executing or importing anything that they name. The first two are the
    same file, byte by byte, so that the published losses for super-resolution and for denoising are one. It holds nine
    discriminators, that for JPEG artefacts eight.

    Args:
        path: File of ``save_discriminators``, one of the published files, or tensors named "<index>.<key>" in a
            safetensors file, or in a PyTorch file that holds tensors only, there also as a list of state dicts. At most
            64 discriminators.

    Returns:
        From the coarsest scale to the finest, in float32, on the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: No such file.
        ValueError: An unreadable file, a file that could run code, or one of something else; the message names the
            first missing and unexpected keys. A weight that is not finite.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_discriminators([SinGANDiscriminator(channels=4)], f"{folder}/ds.safetensors")
        ...     load_discriminators(f"{folder}/ds.safetensors")[0].config
        {'in_channels': 3, 'channels': 4}

    Source:
        Mustafa et al., WACV 2022, files of the authors' code. Their networks are in PyTorch's legacy format, which is
        interpreted here instead of unpickled.
    """
    path = Path(path)
    tensors, metadata = (read_legacy(path), {}) if is_legacy(path) else read_tensors(path)
    _check_metadata(metadata, path)
    groups = _by_index(tensors, path)
    sketches = _sketches(groups, path)
    for i, (sketch, group) in enumerate(zip(sketches, groups, strict=True)):
        for key, own in sketch.state_dict().items():
            _check_tensor(group[key], own, f"{i}.{key}", path)
    return [_built(sketch, group) for sketch, group in zip(sketches, groups, strict=True)]


def _check_metadata(metadata: Mapping[str, str], path: str | PathLike[str]) -> None:
    if metadata.get("format") != FORMAT:
        return
    version, model = metadata.get("format_version", ""), metadata.get("model", "")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path} has format version {shortened(version)}, this restorekit reads version {FORMAT_VERSION!r}"
        )
    if model != _MODEL:
        raise ValueError(
            f"{path} holds weights of {shortened(model)}, not a list of discriminators; models.load_checkpoint or "
            "models.load_weights reads it, and models.save_discriminators writes what is read here"
        )


def _by_index(tensors: Mapping[str, Tensor], path: Path) -> list[dict[str, Tensor]]:
    """The state dict of each discriminator."""
    found: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = re.fullmatch(r"(0|[1-9][0-9]{0,3})\.(?:module\.)?(.+)", key, re.DOTALL)
        if match is None:
            raise ValueError(
                f"{path} holds {shortened(key)}, but a file of discriminators names all its tensors "
                "'<index>.<key>', such as '0.head.conv.weight'; models.load_weights reads a single discriminator"
            )
        found.setdefault(int(match[1]), {})[match[2]] = tensor
    if len(found) > _MOST:
        raise ValueError(f"{path} holds {len(found)} discriminators; at most {_MOST} are read")
    if missing := sorted(set(range(len(found))) - set(found)):
        raise ValueError(f"{path} holds {len(found)} discriminators, of which number {missing[0]} is missing")
    return [found[i] for i in range(len(found))]


def _sketches(groups: list[dict[str, Tensor]], path: str | PathLike[str]) -> list[SinGANDiscriminator]:
    """The discriminators without memory, as wide as the file's kernels say, and with exactly the file's names."""
    sketches = []
    for i, group in enumerate(groups):
        first = group.get("head.conv.weight")
        if first is not None and first.ndim != 4:
            raise ValueError(
                f"{path}: '{i}.head.conv.weight' has shape {tuple(first.shape)}, no kernel of 4 dimensions"
            )
        channels, in_channels = (1, 1) if first is None else first.shape[:2]
        _check_sizes(i, in_channels, channels, str(path))
        with torch.device("meta"):
            sketches.append(SinGANDiscriminator(in_channels, channels=channels))
        own = sketches[-1].state_dict()
        missing = [f"{i}.{key}" for key in own if key not in group]
        unexpected = [f"{i}.{key}" for key in group if key not in own]
        if missing or unexpected:
            raise ValueError(
                f"{path} does not hold discriminators: first missing key {_first(missing)}, "
                f"first unexpected key {_first(unexpected)}"
            )
        if in_channels != sketches[0].in_channels:
            raise ValueError(
                f"{path} holds discriminators of different pictures: number {i} takes {in_channels} channels, "
                f"number 0 takes {sketches[0].in_channels}"
            )
    return sketches


def _first(keys: list[str]) -> str:
    return shortened(keys[0]) if keys else "none"


def _check_tensor(tensor: Tensor, own: Tensor, key: str, path: str | PathLike[str]) -> None:
    if tensor.shape != own.shape:
        raise ValueError(f"{path}: {key!r} has shape {tuple(tensor.shape)}, it must have {tuple(own.shape)}")
    if tensor.dtype not in (_FLOATS if own.is_floating_point() else (torch.int64,)):
        raise ValueError(f"{path}: {key!r} holds {tensor.dtype}, it must hold {own.dtype}")
    if tensor.is_floating_point() and not tensor.float().isfinite().all():
        raise ValueError(f"{path}: {key!r} holds a value that is not finite in float32; the file is damaged")


def _built(sketch: SinGANDiscriminator, tensors: Mapping[str, Tensor]) -> SinGANDiscriminator:
    model = sketch.to_empty(device="cpu").float()
    model.load_state_dict(tensors)
    return model.eval()
