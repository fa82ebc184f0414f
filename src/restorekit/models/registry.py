"""The networks by name."""

from collections.abc import Callable
from typing import Any, NamedTuple

from restorekit.models.carn import carn, carn_m
from restorekit.models.dncnn import dncnn
from restorekit.models.edsr import edsr
from restorekit.models.fsrcnn import fsrcnn
from restorekit.models.idr import idr
from restorekit.models.mepsnet import mepsnet
from restorekit.models.owan import owan
from restorekit.models.pcarn import pcarn, pcarn_m
from restorekit.models.progressive_carn import progressive_carn
from restorekit.models.rcan import rcan
from restorekit.models.rdn import rdn
from restorekit.models.restorer import Restorer
from restorekit.models.restormer import restormer
from restorekit.models.ridnet import ridnet
from restorekit.models.rnan import rnan
from restorekit.models.sparse_resnet import sparse_resnet
from restorekit.models.srcnn import srcnn
from restorekit.models.srresnet import srresnet
from restorekit.models.vdsr import vdsr
from restorekit.models.zssr import zssr


class _Entry(NamedTuple):
    factory: Callable[..., Restorer]
    tasks: tuple[str, ...]


_ALL_IN_ONE = ("denoising", "deraining", "dehazing", "deblurring", "low-light-enhancement")

_RESTORERS: dict[str, _Entry] = {
    "carn": _Entry(carn, ("super-resolution",)),
    "carn_m": _Entry(carn_m, ("super-resolution",)),
    "dncnn": _Entry(dncnn, ("denoising", "jpeg-artifact-removal")),
    "edsr": _Entry(edsr, ("super-resolution", "denoising", "jpeg-artifact-removal")),
    "fsrcnn": _Entry(fsrcnn, ("super-resolution",)),
    "idr": _Entry(idr, _ALL_IN_ONE),
    "mepsnet": _Entry(mepsnet, ("denoising", "mixed-distortions")),
    "owan": _Entry(owan, ("denoising", "jpeg-artifact-removal")),
    "pcarn": _Entry(pcarn, ("super-resolution",)),
    "pcarn_m": _Entry(pcarn_m, ("super-resolution",)),
    "progressive_carn": _Entry(progressive_carn, ("super-resolution",)),
    "rcan": _Entry(rcan, ("super-resolution", "denoising", "jpeg-artifact-removal")),
    "rdn": _Entry(rdn, ("super-resolution", "denoising", "jpeg-artifact-removal")),
    "restormer": _Entry(restormer, _ALL_IN_ONE),
    "ridnet": _Entry(ridnet, ("denoising",)),
    "rnan": _Entry(rnan, ("super-resolution", "denoising", "jpeg-artifact-removal")),
    "sparse_resnet": _Entry(sparse_resnet, ("super-resolution", "denoising", "jpeg-artifact-removal")),
    "srcnn": _Entry(srcnn, ("super-resolution",)),
    "srresnet": _Entry(srresnet, ("super-resolution",)),
    "vdsr": _Entry(vdsr, ("super-resolution",)),
    "zssr": _Entry(zssr, ("super-resolution",)),
}


def list_models(task: str | None = None) -> list[str]:
    """List the names that ``create_model`` builds.

    Args:
        task: Only networks for this task, e.g. "super-resolution".

    Returns:
        Names in alphabetical order.

    Raises:
        ValueError: An unknown task; the message lists the known.

    Example:
        >>> list_models(task="super-resolution")[:2]
        ['carn', 'carn_m']
    """
    known = list_tasks()
    if task is not None and task not in known:
        raise ValueError(f"task must be one of {', '.join(known)}, got {task!r}")
    return sorted(name for name, entry in _RESTORERS.items() if task is None or task in entry.tasks)


def list_tasks(name: str | None = None) -> list[str]:
    """List the tasks that ``list_models`` knows.

    Args:
        name: Only those of this network.

    Returns:
        Tasks in alphabetical order.

    Raises:
        ValueError: An unknown name; the message lists the known.

    Example:
        >>> list_tasks("dncnn")
        ['denoising', 'jpeg-artifact-removal']
    """
    entries = _RESTORERS.values() if name is None else [_entry(name)]
    return sorted({task for entry in entries for task in entry.tasks})


def create_model(name: str, **options: Any) -> Restorer:
    """Build a network by name.

    Args:
        name: One of ``list_models()``.
        **options: Arguments of the factory of that name, such as ``weights``; ``scale`` too, unless the network only
            keeps the size (DnCNN, OWAN, RIDNet).

    Returns:
        The network.

    Raises:
        ValueError: An unknown name; the message lists the known.

    Example:
        >>> create_model("carn_m", scale=2).scale
        2
    """
    return _entry(name).factory(**options)


def _entry(name: str) -> _Entry:
    if name not in _RESTORERS:
        raise ValueError(f"name must be one of {', '.join(sorted(_RESTORERS))}, got {name!r}")
    return _RESTORERS[name]
