"""Fetching torchvision's public weights, for those who ask for it."""

import hashlib
from http.client import HTTPException, HTTPMessage
from os import PathLike
from pathlib import Path
from typing import IO, BinaryIO, get_args
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tqdm import tqdm

from restorekit.image import atomic_path
from restorekit.models.features import TrunkName

_ADDRESS = "https://download.pytorch.org/models/"
# File, whose name ends in the first digits of its SHA-256, and its size in MiB.
_FILES: dict[TrunkName, tuple[str, float]] = {
    "alexnet": ("alexnet-owt-7be5be79.pth", 233.087),
    "squeezenet": ("squeezenet1_1-b8a52dc0.pth", 4.729),
    "vgg16": ("vgg16-397923af.pth", 527.796),
    "vgg19": ("vgg19-dcbb9e9d.pth", 548.051),
}
_CHUNK, _TIMEOUT = 1 << 20, 30  # bytes, seconds without an answer


def download_trunk(name: TrunkName, folder: str | PathLike[str], *, progress: bool = True) -> Path:
    """Fetch torchvision's ImageNet weights of a feature trunk, unless they are there already.

    Nothing else in this library downloads anything. The file is written beside and renamed when it is complete and its
    SHA-256 begins as its name says, and it is given up as soon as it grows larger than the published one. These eight
    digits, all that is published, tell a damaged file, not a forged one: against that, the way is encrypted, wherever
    the address leads. The weights were trained on ImageNet; mind its terms.

    Args:
        name: "alexnet" (233 MiB), "squeezenet" (5 MiB), "vgg16" (528 MiB) or "vgg19" (548 MiB).
        folder: An existing folder to keep the file in, under torchvision's name.
        progress: Show a progress bar.

    Returns:
        Path of the file, for ``load_trunk``.

    Raises:
        FileNotFoundError: No such folder.
        OSError: The address cannot be reached, or the connection ends early.
        ValueError: An unknown name, or other content than expected, downloaded or in the folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as home:
        ...     download_trunk("vgg19", f"{home}/weights")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        FileNotFoundError: ... is no folder; create it first

    Source:
        torchvision's addresses, file names and sizes.
    """
    if name not in get_args(TrunkName):
        raise ValueError(f"name must be one of {', '.join(get_args(TrunkName))}, got {name!r}")
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder} is no folder; create it first")
    file_name, mebibytes = _FILES[name]
    path = Path(folder) / file_name
    if path.exists():
        with path.open("rb") as file:
            _check_hash(hashlib.file_digest(file, "sha256").hexdigest(), path.name, "delete it to fetch it again")
        return path
    with atomic_path(path) as beside, beside.open("wb") as file:
        found = _fetch(_ADDRESS + file_name, file, limit=int((mebibytes + 0.01) * 2**20), progress=progress)
        _check_hash(found, file_name, "what was downloaded is not kept")
    return path


def _fetch(address: str, file: BinaryIO, *, limit: int, progress: bool) -> str:
    """Copy what lies at the address, and return its SHA-256."""
    digest, size = hashlib.sha256(), 0
    bar = tqdm(total=limit, unit="B", unit_scale=True, desc=address.rpartition("/")[2], disable=not progress)
    try:
        with bar, build_opener(_Encrypted).open(address, timeout=_TIMEOUT) as source:
            while chunk := source.read(_CHUNK):
                size += len(chunk)
                if size > limit:
                    raise ValueError(f"{address} is larger than the {limit} bytes expected; it is not kept")
                digest.update(chunk)
                file.write(chunk)
                bar.update(len(chunk))
            announced = int(source.headers.get("Content-Length", size))
        if size < announced:
            raise OSError(f"it ended after {size} of {announced} bytes")
    except (OSError, HTTPException) as error:
        raise OSError(
            f"could not download {address}: {error}; fetch it in another way and give its path to load_trunk"
        ) from error
    return digest.hexdigest()


class _Encrypted(HTTPRedirectHandler):
    """Goes where it is sent only over https; that of the standard library would take http and ftp as well."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if not newurl.startswith("https://"):
            raise URLError(f"sent on to {newurl}, which is not encrypted")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_hash(found: str, file_name: str, advice: str) -> None:
    expected = file_name.removesuffix(".pth").rpartition("-")[2]
    if not found.startswith(expected):
        raise ValueError(f"{file_name} has the SHA-256 {found}, which does not begin with {expected}; {advice}")
