"""Where the weights lie that come with the library."""

from pathlib import Path

_FOLDER = Path(__file__).parent


def shipped(name: str) -> Path:
    """The file of weights that come with the library; nothing is downloaded.

    Args:
        name: Without suffix, "mdf_sisr".

    Returns:
        Path of a safetensors file.

    Raises:
        TypeError: ``name`` is no text.
        ValueError: No weights of this name; those that there are are listed.

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
    return files[name]
