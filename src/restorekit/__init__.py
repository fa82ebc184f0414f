"""Composable parts for image restoration in PyTorch.

The subpackages load on first use, so ``import restorekit`` costs nothing until a part is touched.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from restorekit import (
        augment,
        data,
        degrade,
        evaluation,
        image,
        inference,
        layers,
        losses,
        metrics,
        models,
        train,
        weights,
    )

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "augment",
    "data",
    "degrade",
    "evaluation",
    "image",
    "inference",
    "layers",
    "losses",
    "metrics",
    "models",
    "train",
    "weights",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its parts are {', '.join(__all__[1:])}")


def __dir__() -> list[str]:
    return sorted(__all__)
