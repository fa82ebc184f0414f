import dataclasses
import math
import pickle

import numpy as np
import pytest
import scipy.io
import torch
from safetensors.torch import save_file

from restorekit.metrics import NiqeModel


def values():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(36, 36, generator=generator, dtype=torch.float64)
    return torch.randn(36, generator=generator, dtype=torch.float64), root @ root.T


def same(first, second):
    return torch.equal(first.mean, second.mean) and torch.equal(first.covariance, second.covariance)


def test_holds_float64_copies_and_is_frozen():
    mean, covariance = (x.float().requires_grad_() for x in values())
    model = NiqeModel(mean, covariance)
    expected = mean.detach().double()
    with torch.no_grad():
        mean += 1
    assert torch.equal(model.mean, expected)
    assert model.covariance.dtype == torch.float64
    assert not model.covariance.requires_grad
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.mean = mean
    assert repr(model) == "NiqeModel(36 features)"


def test_round_trip(tmp_path):
    model = NiqeModel(*values())
    model.save(tmp_path / "model.safetensors")
    assert same(NiqeModel.load(tmp_path / "model.safetensors"), model)


def test_reads_the_authors_file(tmp_path):
    mean, covariance = values()
    arrays = {"mu_prisparam": mean.numpy()[None], "cov_prisparam": covariance.numpy()}
    for name, more in (("a.mat", {}), ("b.MAT", {"text": "something else"})):
        with (tmp_path / name).open("wb") as file:
            scipy.io.savemat(file, arrays | more)
        assert same(NiqeModel.load(tmp_path / name), NiqeModel(mean, covariance))


def test_reads_the_file_of_basicsr(tmp_path):
    mean, covariance = values()
    # Stored by columns, as that file is.
    arrays = {"mu_pris_param": mean.numpy()[None], "cov_pris_param": np.asfortranarray(covariance.numpy())}
    np.savez(tmp_path / "a.npz", gaussian_window=np.ones((7, 7)), **arrays)
    assert same(NiqeModel.load(tmp_path / "a.npz"), NiqeModel(mean, covariance))


def test_never_unpickles(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("code of the file was run",))

    np.savez(tmp_path / "a.npz", mu_pris_param=np.array([Trap()], object), cov_pris_param=np.eye(36))
    with pytest.raises(ValueError, match=r"a\.npz is no readable \.npz file"):
        NiqeModel.load(tmp_path / "a.npz")
    for name in ("b.npz", "b.mat", "b.safetensors"):
        (tmp_path / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(ValueError, match="b"):
            NiqeModel.load(tmp_path / name)


@pytest.mark.parametrize("name", ["a.npz", "a.mat", "a.safetensors"])
def test_damaged_and_missing_files(tmp_path, name):
    with pytest.raises(FileNotFoundError):
        NiqeModel.load(tmp_path / name)
    for content in (b"", b"damaged" * 50):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="a"):
            NiqeModel.load(tmp_path / name)
    (tmp_path / "folder" / name).mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        NiqeModel.load(tmp_path / "folder" / name)


def test_files_of_something_else(tmp_path):
    mean, covariance = values()
    save_file({"mean": mean, "other": covariance}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"holds no NIQE model: 'covariance' is missing, found \['mean', 'other'\]"):
        NiqeModel.load(tmp_path / "a.safetensors")
    save_file({"mean": mean, "covariance": covariance[:18, :18].contiguous()}, tmp_path / "b.safetensors")
    with pytest.raises(ValueError, match=r"b\.safetensors holds no NIQE model: covariance must have shape"):
        NiqeModel.load(tmp_path / "b.safetensors")
    scipy.io.savemat(tmp_path / "c.mat", {"mu_prisparam": mean.numpy()})
    with pytest.raises(ValueError, match="'cov_prisparam' is missing"):
        NiqeModel.load(tmp_path / "c.mat")
    np.savez(tmp_path / "d.npz", mu_pris_param=np.full(36, np.nan), cov_pris_param=np.eye(36))
    with pytest.raises(ValueError, match="mean must hold finite numbers"):
        NiqeModel.load(tmp_path / "d.npz")


def test_a_failed_save_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.safetensors, got 'model\.mat'"):
        NiqeModel(*values()).save(tmp_path / "model.mat")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mean", "covariance", "error", "message"),
    [
        (torch.zeros(35), torch.eye(36), ValueError, r"mean must have shape \(36,\), got \(35,\)"),
        (torch.zeros(36), torch.eye(35), ValueError, "covariance must have shape"),
        (torch.zeros(36).long(), torch.eye(36), TypeError, "mean must be a real floating-point tensor"),
        (torch.zeros(36), np.eye(36), TypeError, "covariance must be a real floating-point tensor, got ndarray"),
        (torch.full((36,), math.nan), torch.eye(36), ValueError, "mean must hold finite"),
        (torch.zeros(36), torch.ones(36, 36).triu(), ValueError, "covariance must be symmetric"),
    ],
)
def test_bad_values(mean, covariance, error, message):
    with pytest.raises(error, match=message):
        NiqeModel(mean, covariance)
