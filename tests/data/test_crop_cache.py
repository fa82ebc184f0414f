"""The cache of decoded crops: what lies in it, when it is made anew, and what may be trained from it."""

import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from picture_files import noise, write_folder
from torch.utils.data import DataLoader

from restorekit.data import CropCache, DegradedFolder, ImageFolder, PairedFolder, RandomCropPairs
from restorekit.image.files import write_image
from restorekit.image.resize import resize_uint8


def _cache(pictures, path: Path, **options) -> CropCache:
    return CropCache(pictures, path, progress=False, **{"size": 6, **options})


def test_crops_of_a_folder(tmp_path):
    pictures = {"a.png": noise(13, 6, 3), "b.png": noise(8, 12)}
    root = write_folder(tmp_path / "in", pictures)
    cache = _cache(root, tmp_path / "c.npy")
    grey = np.repeat(pictures["b.png"][:, :, None], 3, axis=2)
    places = [(pictures["a.png"], top, 0) for top in (0, 6, 7)]
    places += [(grey, top, left) for top in (0, 2) for left in (0, 6)]
    assert len(cache) == 7
    assert cache.scale is None
    for index, (picture, top, left) in enumerate(places):
        np.testing.assert_array_equal(cache[index], picture[top : top + 6, left : left + 6])
        assert not cache[index].flags.writeable
        np.testing.assert_array_equal(cache[index - 7], cache[index])
    with pytest.raises(IndexError):
        cache[7]
    raw = np.load(tmp_path / "c.npy", allow_pickle=False)
    np.testing.assert_array_equal(raw["hq"], np.stack([cache[i] for i in range(7)]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.npy", "c.npy.json", "in"]


@given(st.integers(4, 15), st.integers(4, 15), st.integers(1, 4), st.integers(1, 4))
def test_every_pixel_is_in_a_crop_and_overlaps_are_as_asked(tmp_path_factory, height, width, size, stride):
    picture = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    stride = min(stride, size)
    path = tmp_path_factory.mktemp("cache") / "c.npy"
    cache = _cache([picture], path, size=size, stride=stride)
    firsts = [int(cache[i][0, 0, 0]) for i in range(len(cache))]
    assert set(np.concatenate([cache[i][:, :, 0].ravel() for i in range(len(cache))])) == set(picture.ravel())
    tops = sorted({first // width for first in firsts})
    assert tops == sorted({*range(0, height - size + 1, stride), height - size})
    assert len(firsts) == len(set(firsts)) == len(tops) * len({first % width for first in firsts})


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_pairs_are_cut_from_the_whole_small_picture(tmp_path, scale):
    picture = noise(26, 20, 3)
    cache = _cache([picture], tmp_path / "c.npy", size=12, stride=6, scale=scale)
    height, width = (side // scale * scale for side in picture.shape[:2])
    whole = picture[:height, :width]
    small = resize_uint8(whole, 1 / scale) if scale > 1 else whole
    places = [(top, left) for top in sorted({0, 6, 12, height - 12}) for left in sorted({0, 6, width - 12})]
    assert len(cache) == len(places)
    for (lq, hq), (top, left) in zip(cache, places, strict=True):
        np.testing.assert_array_equal(hq, whole[top : top + 12, left : left + 12])
        part = small[top // scale : (top + 12) // scale, left // scale : (left + 12) // scale]
        np.testing.assert_array_equal(lq, part)


def test_pairs_of_folders_and_lists(tmp_path):
    lq, hq = noise(6, 7, 3), noise(12, 14, 3)
    roots = [write_folder(tmp_path / name, {"a.png": x}) for name, x in (("lq", lq), ("hq", hq))]
    for number, pictures in enumerate((PairedFolder(*roots), [(lq, hq)])):
        cache = _cache(pictures, tmp_path / f"{number}.npy", scale=2)
        assert len(cache) == 2 * 3
        np.testing.assert_array_equal(cache[5][0], lq[3:, 4:])
        np.testing.assert_array_equal(cache[5][1], hq[6:, 8:])
    assert _cache(PairedFolder(*roots), tmp_path / "0.npy").scale == 2


def test_more_bits_are_rounded_to_8(tmp_path):
    deep = noise(6, 6, 3, dtype=np.uint16)
    expected = np.floor(deep / 65535 * 255 + 0.5).astype(np.uint8)
    for number, picture in enumerate((deep, deep / 65535, torch.from_numpy(deep / 65535).permute(2, 0, 1))):
        np.testing.assert_array_equal(_cache([picture], tmp_path / f"{number}.npy")[0], expected)


def test_the_file_is_made_anew_when_it_is_stale_and_only_then(tmp_path):
    root, path = write_folder(tmp_path / "in", {"a.png": noise(9, 9, 3)}), tmp_path / "c.npy"

    def inode(**options) -> int:
        _cache(root, path, **options)
        return path.stat().st_ino

    first = inode()
    kept = path.open("rb")  # so that its number is not given to the next file
    assert inode() == first
    assert _cache(ImageFolder(root), path)[0].shape == (6, 6, 3)
    assert path.stat().st_ino == first
    assert inode(stride=3) != first
    kept.close()
    for change in (
        lambda: os.utime(root / "a.png", ns=(1, 1)),
        lambda: write_image(root / "b.png", noise(6, 6, 3)),
        lambda: path.write_bytes(path.read_bytes()[:-5]),
        lambda: path.write_bytes(b""),
        lambda: (tmp_path / "c.npy.json").write_text("{}"),
        (tmp_path / "c.npy.json").unlink,
        lambda: np.save(path, np.zeros(3)),
    ):
        change()
        cache = _cache(root, path)
        np.testing.assert_array_equal(cache[0], ImageFolder(root).read(0)[:6, :6])
        assert json.loads((tmp_path / "c.npy.json").read_text())["size"] == 6
    lists = [noise(6, 6, 3, seed=i) for i in range(2)]
    for picture in (*lists, torch.from_numpy(lists[0]).permute(2, 0, 1)):
        assert len(_cache([picture], path)) == 1
        np.testing.assert_array_equal(
            _cache([picture], path)[0], picture if isinstance(picture, np.ndarray) else picture.permute(1, 2, 0)
        )


def test_a_file_from_elsewhere_is_never_taken_for_crops(tmp_path):
    path = tmp_path / "c.npy"
    expected = np.stack(list(_cache([noise(12, 12, 3)], path)))
    whole = path.read_bytes()
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}], dtype=object))
    for other in (
        pickled.getvalue(),
        whole.replace(b"{", b"(", 1),  # a header that does not end
        whole[:9] + b"\1" + whole[10:],  # a header of another length
        whole.replace(b"(4,)", b"(0,)"),
        whole.replace(b"(4,)", b"(3,)"),
        whole.replace(b"(4,), ", b"(-1,),"),
    ):
        assert other != whole
        path.write_bytes(other)
        np.testing.assert_array_equal(np.stack(list(_cache([noise(12, 12, 3)], path))), expected)
        assert path.read_bytes() == whole


def test_an_interrupted_build_leaves_the_old_file(tmp_path):
    path = tmp_path / "c.npy"
    _cache([noise(6, 6, 3)], path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="picture 1: 5 x 9 pixels are too few for crops of 6; leave the picture out"):
        _cache([noise(8, 8, 3), noise(5, 9, 3)], path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert len(_cache([noise(8, 8, 3), noise(5, 9, 3)], path, skip_small=True)) == 4


def test_a_copy_opens_the_file_again(tmp_path):
    cache = _cache([noise(12, 12, 3)], tmp_path / "c.npy")
    data = pickle.dumps(cache)
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data)[3], cache[3])
    _cache([noise(12, 12, 3)], tmp_path / "c.npy", stride=3)
    np.testing.assert_array_equal(cache[3], noise(12, 12, 3)[6:, 6:])
    with pytest.raises(ValueError, match="gone or was made anew with other settings"):
        pickle.loads(data)


def test_training_crops_and_degraded_items_come_from_the_cache(tmp_path):
    pictures = [noise(12, 12, 3, seed=i) for i in range(3)]
    for scale in (None, 1, 2):
        cache = _cache(pictures, tmp_path / f"{scale}.npy", size=12, scale=scale)
        options = {"patch_size": 4, "scale": scale or 2, "length": 24, "seed": 1}
        pairs, expected = RandomCropPairs(cache, **options), RandomCropPairs(pictures, **options)
        loader = DataLoader(pairs, batch_size=12, num_workers=2 if scale == 2 else 0)
        got = [torch.cat(side) for side in zip(*loader, strict=True)]
        assert all(torch.equal(a, torch.stack(b)) for a, b in zip(got, zip(*expected, strict=True), strict=True))
        list(pairs)
        assert len(pairs._cache) == (3 if scale is None else 0)
    single = _cache(pictures, tmp_path / "None.npy", size=12)
    for mine, theirs in zip(*(DegradedFolder(x, lambda x, **_: x / 2) for x in (single, pictures)), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    with pytest.raises(
        ValueError, match=r"None\.npy, crop 0: 6 x 6 pixels at low resolution are too few for patches of 7"
    ):
        RandomCropPairs(single, patch_size=7, scale=2, length=1)
    with pytest.raises(ValueError, match="scale must be that of the pairs, 2, got 4"):
        RandomCropPairs(_cache(pictures, tmp_path / "2.npy", size=12, scale=2), patch_size=2, scale=4, length=1)


class _Lazy:
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> np.ndarray:
        return noise(9, 9, 3)


@pytest.mark.parametrize(
    ("pictures", "options", "error", "message"),
    [
        ([], {}, ValueError, "at least one picture"),
        (_Lazy(), {}, TypeError, "pictures must be a folder, a list or a tuple, got _Lazy"),
        ([noise(9, 9, 3)], {"size": 0}, ValueError, "size must be at least 1"),
        ([noise(9, 9, 3)], {"size": 4.0}, TypeError, "size must be an integer"),
        ([noise(9, 9, 3)], {"stride": 0}, ValueError, "stride must be at least 1"),
        ([noise(9, 9, 3)], {"stride": 7}, ValueError, "stride must be at most size, 6, got 7"),
        ([noise(9, 9, 3)], {"scale": 0}, ValueError, "scale must be at least 1"),
        ([noise(9, 9, 3)], {"scale": 4}, ValueError, "size and stride must be multiples of scale, 4, got 6 and 6"),
        ([noise(9, 9, 3)], {"stride": 4, "scale": 3}, ValueError, "multiples of scale, 3, got 6 and 4"),
        ([noise(5, 9, 3)], {"skip_small": True}, ValueError, "every picture is smaller than size=6"),
        (
            [(noise(9, 9, 3), noise(9, 9, 3))],
            {},
            TypeError,
            "picture 0: expected a picture, got a tuple; give scale=",
        ),
        ([(noise(9, 9, 3), noise(9, 9, 3))], {"scale": 2}, ValueError, "picture 0: 9 x 9 pixels are not 2 times"),
        ([noise(9, 9, 4)], {}, ValueError, "picture 0: expected grey or RGB"),
        ([np.zeros((9, 9, 3), np.int64)], {}, TypeError, "picture 0: .*int64"),
    ],
)
def test_what_is_refused(tmp_path, pictures, options, error, message):
    with pytest.raises(error, match=message):
        _cache(pictures, tmp_path / "c.npy", **options)
    assert list(tmp_path.iterdir()) == []


def test_paths_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"path must end in \.npy"):
        _cache([noise(9, 9, 3)], tmp_path / "c.bin")
    with pytest.raises(FileNotFoundError, match="does not exist; create it"):
        _cache([noise(9, 9, 3)], tmp_path / "no" / "c.npy")
    with pytest.raises(NotADirectoryError, match="nowhere"):
        _cache(tmp_path / "nowhere", tmp_path / "c.npy")


def test_a_progress_bar(tmp_path, capsys):
    CropCache([noise(6, 6, 3)] * 4, tmp_path / "c.npy", size=6)
    assert "4/4" in capsys.readouterr().err
    CropCache([noise(6, 6, 3)] * 4, tmp_path / "c.npy", size=6)
    assert capsys.readouterr().err == ""
