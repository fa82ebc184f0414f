"""What natural pictures look like to NIQE."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import scipy.io
import torch
from safetensors.torch import save_file
from torch import Tensor

from restorekit.image import atomic_path
from restorekit.metrics._natural_scene import FEATURES
from restorekit.models._loading import FORMAT, FORMAT_VERSION, read_tensors

# Files of the authors (MATLAB), and of the Python versions that were made from it.
_PUBLISHED = {".mat": ("mu_prisparam", "cov_prisparam"), ".npz": ("mu_pris_param", "cov_pris_param")}


@final
@dataclass(frozen=True, eq=False)
class NiqeModel:
    """Mean and covariance of the NIQE features of clean pictures; ``fit_niqe`` makes one.

    Args:
        mean: (36,), finite real numbers.
        covariance: (36, 36), symmetric, finite real numbers.

    Attributes:
        mean: In float64, on the CPU.
        covariance: In float64, on the CPU.

    Raises:
        TypeError: Either is no real floating-point tensor.
        ValueError: Another shape, NaN or infinity, or a covariance that is not symmetric.

    Example:
        >>> NiqeModel(torch.zeros(36), torch.eye(36))
        NiqeModel(36 features)
    """

    mean: Tensor
    covariance: Tensor

    def __post_init__(self) -> None:
        for name, shape in {"mean": (FEATURES,), "covariance": (FEATURES, FEATURES)}.items():
            # A frozen record is filled this way; a copy, so that later writes to the argument stay outside.
            object.__setattr__(self, name, _checked(getattr(self, name), name, shape))
        # Files that were written as decimals or in float32 are symmetric up to their digits.
        if not torch.allclose(self.covariance, self.covariance.T, rtol=1e-4, atol=1e-8):
            raise ValueError("covariance must be symmetric")

    def __repr__(self) -> str:
        return f"NiqeModel({FEATURES} features)"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, whole or not at all.

        Args:
            path: Target with the suffix ``.safetensors``.

        Raises:
            ValueError: Another suffix.
        """
        if Path(path).suffix != ".safetensors":
            raise ValueError(f"path must end in .safetensors, got {Path(path).name!r}")
        metadata = {"format": FORMAT, "format_version": FORMAT_VERSION, "model": "NiqeModel", "config": "{}"}
        with atomic_path(path) as beside:
            save_file({"mean": self.mean, "covariance": self.covariance}, beside, metadata=metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "NiqeModel":
        """Read a file of ``save``, or a published one. Nothing in it is executed.

        Args:
            path: A safetensors file with ``mean`` and ``covariance``; ``modelparameters.mat`` of the authors (suffix
                .mat, ``mu_prisparam`` and ``cov_prisparam``); or ``niqe_pris_params.npz`` of BasicSR (suffix .npz,
                ``mu_pris_param`` and ``cov_pris_param``). The published ones are made from MATLAB's ``rgb2gray``, not
                from the luma: see ``niqe``.

        Raises:
            FileNotFoundError: No such file.
            ValueError: A file of another kind or damaged, names that are missing, or contents that are no model.
        """
        path = Path(path)
        mean, covariance = _PUBLISHED.get(path.suffix.lower(), ("mean", "covariance"))
        found = _read(path, (mean, covariance))
        if missing := {mean, covariance} - set(found):
            raise ValueError(f"{path} holds no NIQE model: {min(missing)!r} is missing, found {sorted(found)}")
        try:
            return cls(found[mean].flatten(), found[covariance])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no NIQE model: {error}") from error


def _checked(value: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        got = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name} must be a real floating-point tensor, got {got}")
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {tuple(value.shape)}")
    if not value.isfinite().all():
        raise ValueError(f"{name} must hold finite numbers")
    return value.detach().to("cpu", torch.float64, copy=True).contiguous()


def _read(path: Path, names: tuple[str, str]) -> dict[str, Tensor]:
    suffix = path.suffix.lower()
    if suffix not in _PUBLISHED:
        return read_tensors(path)[0]
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give a file")
    try:
        with path.open("rb") as file:
            return _read_mat(file, names) if suffix == ".mat" else _read_npz(file, names)
    except FileNotFoundError:
        raise
    except Exception as error:  # both readers raise whatever the damaged bytes lead them to
        raise ValueError(f"{path} is no readable {suffix} file of arrays: {error}") from error


def _read_mat(file: Any, names: tuple[str, str]) -> dict[str, Tensor]:
    arrays = scipy.io.loadmat(file, variable_names=names)
    return {name: torch.from_numpy(np.array(arrays[name], np.float64)) for name in names if name in arrays}


def _read_npz(file: Any, names: tuple[str, str]) -> dict[str, Tensor]:
    with np.load(file, allow_pickle=False) as arrays:
        return {name: torch.from_numpy(np.array(arrays[name], np.float64)) for name in names if name in arrays}
