"""Pairs made of low-resolution pictures alone."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_files import noise, write_folder

from restorekit.data import CropCache, ImageFolder, PseudoPairs, RandomCropPairs
from restorekit.image.files import write_image
from restorekit.image.resize import resize_uint8


class _Halve:
    """A denoiser that is easy to recognise, and counts how often it is called."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        assert x.shape[0] == 1
        assert not torch.is_grad_enabled()
        self.calls += 1
        return x / 2


@pytest.fixture
def low(tmp_path: Path) -> Path:
    return write_folder(
        tmp_path / "low", {"a.png": noise(14, 17, 3), "b.png": noise(13, 12), "c.png": noise(12, 12, 3)}
    )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_each_picture_is_the_target_of_its_own_small_version(low, scale):
    pairs = PseudoPairs(low, scale=scale)
    assert len(pairs) == 3
    for index, picture in enumerate(map(ImageFolder(low).read, range(3))):
        height, width = (side // scale * scale for side in picture.shape[:2])
        lq, hq = pairs.read(index)
        np.testing.assert_array_equal(hq, picture[:height, :width])
        np.testing.assert_array_equal(lq, resize_uint8(picture[:height, :width], 1 / scale))
        for x, array in zip(pairs[index - 3], (lq, hq), strict=True):
            np.testing.assert_array_equal(x.permute(1, 2, 0).numpy(), array / np.float32(255))
    with pytest.raises(IndexError, match="index must be below 3"):
        pairs[3]


def test_training_crops_come_from_the_pairs(low):
    pairs = PseudoPairs(low, scale=2)
    crops = list(RandomCropPairs(pairs, patch_size=5, scale=2, length=20, seed=4))
    listed = list(RandomCropPairs([pairs.read(i) for i in range(3)], patch_size=5, scale=2, length=20, seed=4))
    assert all(torch.equal(a, b) for x, y in zip(crops, listed, strict=True) for a, b in zip(x, y, strict=True))
    with pytest.raises(ValueError, match="scale must be that of the pairs, 2, got 3"):
        RandomCropPairs(pairs, patch_size=2, scale=3, length=1)
    with pytest.raises(ValueError, match=r"b\.png: 6 x 6 pixels at low resolution are too few for patches of 7"):
        list(RandomCropPairs(PseudoPairs(_only(low, "b.png"), scale=2), patch_size=7, scale=2, length=1))


def _only(folder: Path, name: str) -> Path:
    for path in folder.iterdir():
        if path.name != name:
            path.unlink()
    return folder


def test_the_denoiser_runs_once_on_each_whole_picture(low):
    denoiser = _Halve()
    pairs = PseudoPairs(low, scale=2, denoiser=denoiser)
    for _ in range(2):
        for index in range(3):
            lq, hq = pairs.read(index)
            whole = np.floor(ImageFolder(low).read(index) / np.float32(255) / 2 * 255 + 0.5).astype(np.uint8)
            np.testing.assert_array_equal(hq, whole[: hq.shape[0], : hq.shape[1]])
            np.testing.assert_array_equal(lq, resize_uint8(hq, 1 / 2))
    assert denoiser.calls == 3


def test_the_memory_is_bounded(low):
    for budget, kept in ((0, 0), (3 * (14 * 16 + 7 * 8), 1), (1 << 30, 3)):
        denoiser = _Halve()
        pairs = PseudoPairs(low, scale=2, denoiser=denoiser, cache_bytes=budget)
        for _ in range(2):
            [pairs[i] for i in range(3)]
        assert denoiser.calls == 6 - kept
        assert len(pickle.dumps(pairs)) < 3000


def test_denoised_pictures_are_kept_on_the_disk(low, tmp_path):
    first, second = _Halve(), _Halve()
    options = {"scale": 2, "cache_bytes": 0, "denoised": tmp_path / "deep" / "kept"}
    items = list(PseudoPairs(low, denoiser=first, **options))
    assert len(list((tmp_path / "deep" / "kept").iterdir())) == 3
    again = list(PseudoPairs(low, denoiser=second, **options))
    assert (first.calls, second.calls) == (3, 0)
    assert all(torch.equal(a, b) for x, y in zip(items, again, strict=True) for a, b in zip(x, y, strict=True))
    write_image(low / "b.png", noise(13, 12, seed=5))
    list(PseudoPairs(low, denoiser=second, **options))
    assert second.calls == 1


def test_pictures_in_memory_make_the_same_pairs(low, tmp_path):
    folder = ImageFolder(low)
    arrays = [folder.read(index) for index in range(3)]
    tensors = [torch.from_numpy(array).permute(2, 0, 1) for array in arrays]
    for pictures in (arrays, tensors):
        pairs = PseudoPairs(pictures, scale=2)
        assert (len(pairs), pairs.files(), pairs.name(1)) == (3, (), "picture 1")
        for mine, theirs in zip(pairs, PseudoPairs(low, scale=2), strict=True):
            assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


def test_pictures_in_memory_keep_16_bits_and_grey_gets_three_channels():
    deep = torch.rand(3, 6, 8)
    lq, hq = PseudoPairs([deep], scale=2)[0]
    assert (hq - deep).abs().max() <= 0.51 / 65535
    assert lq.shape == (3, 3, 4)
    grey = noise(6, 8)
    np.testing.assert_array_equal(PseudoPairs([grey], scale=2).read(0)[1], np.repeat(grey[:, :, None], 3, axis=2))


def test_denoised_pictures_in_memory_are_kept_by_their_pixels(tmp_path):
    first, options = _Halve(), {"scale": 2, "cache_bytes": 0, "denoised": tmp_path / "kept"}
    items = list(PseudoPairs([noise(8, 8, 3), noise(9, 8, 3)], denoiser=first, **options))
    again = list(PseudoPairs([noise(9, 8, 3), noise(8, 8, 3)], denoiser=first, **options))
    assert first.calls == 2
    assert torch.equal(items[0][1], again[1][1])


def test_deep_pictures_keep_their_bits(tmp_path):
    deep = noise(8, 8, 3, dtype=np.uint16)
    low = write_folder(tmp_path / "low", {"a.png": deep})
    np.testing.assert_array_equal(PseudoPairs(low, scale=2).read(0)[1], deep)
    pairs = PseudoPairs(low, scale=2, denoiser=lambda x: 1 - x, denoised=tmp_path / "kept")
    for _ in range(2):
        np.testing.assert_array_equal(pairs.read(0)[1], 65535 - deep)
        pairs = pickle.loads(pickle.dumps(PseudoPairs(low, scale=2, denoiser=torch.neg, denoised=tmp_path / "kept")))


def test_a_crop_cache_keeps_the_pairs(low, tmp_path):
    pairs = PseudoPairs(_only(low, "c.png"), scale=2)
    cache = CropCache(pairs, tmp_path / "c.npy", size=12, progress=False)
    assert cache.scale == 2
    for mine, theirs in zip(cache[0], pairs.read(0), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scale": 1}, ValueError, "scale must be at least 2"),
        ({"scale": 2.0}, TypeError, "scale must be an integer"),
        ({"cache_bytes": -1}, ValueError, "cache_bytes must be at least 0"),
        ({"denoiser": 3}, TypeError, "denoiser must be a function of a tensor, got int"),
        ({"denoised": "kept"}, ValueError, "give a denoiser too"),
        ({"scale": 13}, ValueError, r"b\.png: a side is shorter than the scale, 13"),
        (
            {"denoiser": lambda x: None},
            TypeError,
            r"b\.png: the denoiser must return a floating-point tensor, got None",
        ),
        ({"denoiser": lambda x: x > 0}, TypeError, r"b\.png: the denoiser must .* tensor, got torch\.bool"),
        ({"denoiser": lambda x: x[0]}, ValueError, r"return \(1, 3, 13, 12\), got \(3, 13, 12\)"),
    ],
)
def test_what_is_refused(low, options, error, message):
    with pytest.raises(error, match=message):
        PseudoPairs(low, **{"scale": 2, **options})[1]


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(NotADirectoryError, match="nowhere"):
        PseudoPairs(tmp_path / "nowhere", scale=2)
    with pytest.raises(ValueError, match="at least one picture"):
        PseudoPairs([], scale=2)
    with pytest.raises(TypeError, match="pictures must be a folder or a sequence of pictures, got PseudoPairs"):
        PseudoPairs(PseudoPairs([noise(8, 8)], scale=2), scale=2)
    with pytest.raises(TypeError, match="picture 0 is a pair; give the low-resolution pictures alone"):
        PseudoPairs([(noise(8, 8), noise(8, 8))], scale=2)[0]
    with pytest.raises(TypeError, match="pictures must be a folder data set or a sequence, got Tensor"):
        PseudoPairs(torch.rand(3, 8, 8), scale=2)
