"""The trained weights that come with the library: which there are, where they lie, and that they are whole."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open

_FOLDER = Path(__file__).parent
_SUMS = "SHA256SUMS"  # as the program sha256sum writes and checks them


class Shipped(NamedTuple):
    """Weights of a restoration network that come with the library.

    Args:
        name: Of the file, without suffix, see ``shipped``.
        task: What they are for, as in ``models.list_tasks``.
        model: The network, as in ``models.list_models``.
        scales: The factors that the file holds; (1,) where pictures keep their size.

    Example:
        >>> Shipped("carn_m", "super-resolution", "carn_m", (2, 3, 4)).model
        'carn_m'
    """

    name: str
    task: str
    model: str
    scales: tuple[int, ...]

    def __str__(self) -> str:
        factors = ", ".join(f"x{scale}" for scale in self.scales if scale > 1)
        return f"{self.name} ({self.task}{' ' * bool(factors)}{factors})"


# The first choice of each task first.
_ALL = (
    Shipped("carn", "super-resolution", "carn", (2, 3, 4)),
    Shipped("carn_m", "super-resolution", "carn_m", (2, 3, 4)),
    Shipped("edsr_denoising", "denoising", "edsr", (1,)),
    Shipped("edsr_jpeg", "jpeg-artifact-removal", "edsr", (1,)),
    Shipped("mepsnet", "mixed-distortions", "mepsnet", (1,)),
    Shipped("sparse_resnet", "super-resolution", "sparse_resnet", (2,)),
    Shipped("sparse_resnet_dense", "super-resolution", "sparse_resnet", (2,)),
)


def list_shipped(task: str | None = None) -> tuple[Shipped, ...]:
    """List the weights of restoration networks that come with the library.

    Those of the discriminators of MDF losses are read by ``MDFLoss.from_pretrained``.

    Args:
        task: Only those for this task, as in ``models.list_tasks``.

    Returns:
        The first choice of each task first; none for a task that nothing was trained for.

    Example:
        >>> [weights.name for weights in list_shipped("denoising")]
        ['edsr_denoising']
    """
    return tuple(weights for weights in _ALL if task is None or weights.task == task)


def shipped(name: str) -> Path:
    """The file of weights that come with the library, compared with its SHA-256; nothing is downloaded.

    Args:
        name: Without suffix, "carn_m" or "mdf_sisr".

    Returns:
        Path of a safetensors file; beside it lies its model card, a text ending in .md.

    Raises:
        TypeError: ``name`` is no text.
        ValueError: No weights of this name; those that there are are listed. Or the file is damaged.

    Example:
        >>> shipped("mdf_siar")
        Traceback (most recent call last):
        ValueError: name must be one of ..., got 'mdf_siar'
    """
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {type(name).__name__}")
    files = {path.stem: path for path in sorted(_FOLDER.glob("*.safetensors"))}
    if name not in files:
        known = ", ".join(files) or "(none came with this copy of the library)"
        raise ValueError(f"name must be one of {known}, got {name!r}")
    path, wanted = files[name], _published(_FOLDER / _SUMS).get(f"{name}.safetensors")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted:
        raise ValueError(
            f"{path} is damaged: its SHA-256 is {found}, that of the file that was published "
            f"{wanted or 'is not known'}; install restorekit again"
        )
    return path


def described(name: str) -> tuple[str, dict[str, Any]] | None:
    """Class and options of the network that a file is of, read without its tensors; None where that cannot be read."""
    try:
        with safe_open(_FOLDER / f"{name}.safetensors", framework="np") as file:
            metadata = file.metadata()
        return metadata["model"], dict(json.loads(metadata["config"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None


def _published(sums: Path) -> dict[str, str]:
    """Hashes by file name; none where the list is missing."""
    lines = sums.read_text(encoding="utf-8").split("\n") if sums.exists() else []
    return {name.strip().lstrip("*"): digest.lower() for digest, _, name in (line.partition(" ") for line in lines)}
