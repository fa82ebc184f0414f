"""Aligned random crops that depend on seed and index alone."""

import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from picture_files import noise, write_folder
from torch.utils.data import DataLoader

from restorekit.data import ImageFolder, PairedFolder, RandomCropPairs
from restorekit.image.geometry import dihedral
from restorekit.image.resize import resize_uint8


def _coordinates(height: int, width: int) -> np.ndarray:
    """A picture that tells where each of its pixels was."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], axis=2).astype(np.uint8)


def _enlarged(array: np.ndarray, scale: int) -> np.ndarray:
    return array.repeat(scale, axis=0).repeat(scale, axis=1)


def _place(crop: torch.Tensor) -> tuple[int, int, int]:
    """Row, column and turn of a crop of coordinates."""
    codes = (crop * 255).round().int()
    top, left = int(codes[0].min()), int(codes[1].min())
    size = crop.shape[1]
    straight = torch.from_numpy(_coordinates(100, 100)).permute(2, 0, 1)[:, top : top + size, left : left + size].int()
    return top, left, [torch.equal(dihedral(straight, k), codes) for k in range(8)].index(True)


@given(st.integers(1, 4), st.integers(2, 5), st.integers(5, 9), st.integers(5, 9), st.integers(0, 2**40))
def test_crops_are_aligned_and_turned_together(scale, size, height, width, seed):
    lq = _coordinates(height, width)
    pairs = RandomCropPairs([(lq, _enlarged(lq, scale))], patch_size=size, scale=scale, length=5, seed=seed)
    for small, large in pairs:
        assert small.shape == (3, size, size)
        assert large.shape == (3, scale * size, scale * size)
        assert small.dtype == large.dtype == torch.float32
        assert small.is_contiguous()
        assert large.is_contiguous()
        assert torch.equal(large, small.repeat_interleave(scale, 1).repeat_interleave(scale, 2))
        top, left, _ = _place(small)
        assert 0 <= top <= height - size
        assert 0 <= left <= width - size


def test_picture_place_and_turn_are_uniform():
    pictures = [(x, x) for x in (_coordinates(4, 6), _coordinates(5, 4) + np.array([0, 0, 9], np.uint8))]
    pairs = RandomCropPairs(pictures, patch_size=3, scale=1, length=4000)
    second = [bool((lq[2] > 0).all()) for lq, _ in pairs]
    assert abs(np.mean(second) - 0.5) < 5 * 0.5 / 4000**0.5
    marked = [(which, _place(lq * torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1)))
              for which, (lq, _) in zip(second, pairs, strict=True)]  # fmt: skip
    for which, places in ((False, 2 * 4), (True, 3 * 2)):
        counts = Counter(place for chosen, place in marked if chosen == which)
        expected = sum(counts.values()) / (8 * places)
        assert len(counts) == 8 * places
        chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
        assert abs(chi_square - (8 * places - 1)) < 5 * (2 * (8 * places - 1)) ** 0.5


def test_an_item_depends_on_seed_and_index_alone():
    pictures = [noise(40, 50, 3, seed=i) for i in range(3)]
    options = {"patch_size": 6, "scale": 2}
    pairs = RandomCropPairs(pictures, length=50, seed=3, **options)
    forwards = list(pairs)
    other = RandomCropPairs(pictures, length=10**9, seed=3, cache_bytes=0, **options)
    torch.manual_seed(7)
    state = torch.get_rng_state()
    for index in (49, 0, 17, -1):
        again = (other if index >= 0 else pairs)[index]
        assert all(torch.equal(a, b) for a, b in zip(again, forwards[index], strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert len({lq.numpy().tobytes() for lq, _ in forwards}) == 50
    different = RandomCropPairs(pictures, length=50, seed=4, **options)
    assert not torch.equal(different[0][0], forwards[0][0])
    for index in (50, -51):
        with pytest.raises(IndexError, match="index must be below 50"):
            pairs[index]
    assert len(other) == 10**9


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_small_pictures_are_cut_from_the_whole_shrunk_one(tmp_path, scale):
    photo = noise(31, 45, 3)
    height, width = 31 // scale, 45 // scale
    whole = photo[: scale * height, : scale * width]
    small = resize_uint8(whole, 1 / scale)
    fine = photo.astype(np.uint16) * 257
    size = height  # one place vertically
    for pictures in (
        [photo],
        [fine],
        [photo / 255],
        [torch.from_numpy(photo).permute(2, 0, 1)],
        [torch.from_numpy(photo / 255).permute(2, 0, 1).float()],
        ImageFolder(write_folder(tmp_path / "8", {"a.png": photo})),
        ImageFolder(write_folder(tmp_path / "16", {"a.png": fine})),
    ):
        pairs = RandomCropPairs(pictures, patch_size=size, scale=scale, length=8)
        for lq, hq in pairs:
            matches = [
                (k, left)
                for k in range(8)
                for left in range(width - size + 1)
                if np.array_equal(_turn(small[:, left : left + size], k) / np.float32(255), lq.permute(1, 2, 0).numpy())
            ]
            (k, left), *_ = matches
            crop = whole[:, scale * left : scale * (left + size)]
            np.testing.assert_allclose(hq.permute(1, 2, 0).numpy(), _turn(crop, k) / np.float32(255), atol=1e-7)


def _turn(array: np.ndarray, k: int) -> np.ndarray:
    turned = np.rot90(array, k % 4)
    return turned[:, ::-1] if k >= 4 else turned


def test_pairs_keep_values_that_no_picture_file_holds():
    lq, hq = torch.randn(3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 8, 8)
    pairs = RandomCropPairs([(lq, hq)], patch_size=8, scale=1, length=4)
    assert all(sorted(small.flatten().tolist()) == sorted(lq.flatten().tolist()) for small, _ in pairs)


def test_grey_pictures_have_their_channel_three_times():
    for picture in (noise(9, 9), noise(9, 9, 1), torch.rand(1, 9, 9)):
        lq, hq = RandomCropPairs([picture], patch_size=2, scale=3, length=1)[0]
        for x in (lq, hq):
            assert x.shape[0] == 3
            assert torch.equal(x[0], x[2])


def test_paired_folders(tmp_path):
    lq = {"a.png": noise(8, 9, 3), "b.png": noise(7, 7, 3)}
    hq = {"a.png": noise(16, 19, 3), "b.png": noise(14, 14, 3)}
    roots = write_folder(tmp_path / "lq", lq), write_folder(tmp_path / "hq", hq)
    folder = PairedFolder(*roots, scale=2)
    pairs = RandomCropPairs(folder, patch_size=7, scale=2, length=40)
    wholes = list(folder)
    for lq, hq in pairs:
        found = [
            dihedral(large[:, 2 * top : 2 * top + 14, 2 * left : 2 * left + 14], k)
            for small, large in wholes
            for top in range(small.shape[1] - 6)
            for left in range(small.shape[2] - 6)
            for k in range(8)
            if torch.equal(dihedral(small[:, top : top + 7, left : left + 7], k), lq)
        ]
        assert len(found) == 1
        assert torch.equal(found[0], hq)
    with pytest.raises(ValueError, match="scale must be that of the pairs, 2, got 4"):
        RandomCropPairs(folder, patch_size=2, scale=4, length=1)
    with pytest.raises(ValueError, match=r"lq/b\.png: 7 x 7 pixels at low resolution are too few for patches of 8"):
        RandomCropPairs(folder, patch_size=8, scale=2, length=1)


def test_the_cache_is_bounded_and_changes_nothing(tmp_path):
    pictures = {f"{i}.png": noise(12, 12, 3, seed=i) for i in range(4)}
    folder = ImageFolder(write_folder(tmp_path, pictures))
    one = 3 * (12 * 12 + 6 * 6)
    for budget, kept in ((0, 0), (one - 1, 0), (2 * one, 2), (1 << 30, 4)):
        pairs = RandomCropPairs(folder, patch_size=4, scale=2, length=40, cache_bytes=budget)
        items = list(pairs)
        assert len(pairs._cache) == kept
        fresh = pickle.loads(pickle.dumps(pairs))
        assert fresh._cache == {}
        assert len(pickle.dumps(pairs)) < 3000
        assert all(torch.equal(a, b) for x, y in zip(items, fresh, strict=True) for a, b in zip(x, y, strict=True))


def test_items_do_not_share_memory_with_the_pictures():
    picture = torch.zeros(3, 8, 8)
    pairs = RandomCropPairs([(picture, picture)], patch_size=8, scale=1, length=8)
    for lq, hq in pairs:
        lq.fill_(1)
        assert not hq.any()
    assert not picture.any()


def test_workers_give_the_same_items(tmp_path):
    folder = ImageFolder(write_folder(tmp_path, {f"{i}.png": noise(30, 30, 3, seed=i) for i in range(3)}))
    pairs = RandomCropPairs(folder, patch_size=8, scale=2, length=12, seed=5)
    here = [torch.stack(side) for side in zip(*pairs, strict=True)]
    loader = DataLoader(pairs, batch_size=4, num_workers=2, multiprocessing_context="spawn")
    there = [torch.cat(side) for side in zip(*loader, strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(here, there, strict=True))


@pytest.mark.parametrize(
    ("pictures", "options", "error", "message"),
    [
        ([], {}, ValueError, "at least one picture"),
        (np.zeros((1, 9, 9, 3)), {}, TypeError, "got ndarray"),
        ("photos", {}, TypeError, "got str"),
        (3, {}, TypeError, "got int"),
        ([noise(9, 9, 3)], {"patch_size": 0}, ValueError, "patch_size must be at least 1"),
        ([noise(9, 9, 3)], {"scale": 0}, ValueError, "scale must be at least 1"),
        ([noise(9, 9, 3)], {"scale": 1.5}, TypeError, "scale must be an integer"),
        ([noise(9, 9, 3)], {"length": 0}, ValueError, "length must be at least 1"),
        ([noise(9, 9, 3)], {"seed": -1}, ValueError, "seed must be at least 0"),
        ([noise(9, 9, 3)], {"cache_bytes": -1}, ValueError, "cache_bytes must be at least 0"),
        ([noise(9, 9, 3), noise(7, 9, 3)], {}, ValueError, "picture 1: 3 x 4 pixels .* too few for patches of 4"),
        ([noise(9, 9, 4)], {}, ValueError, "picture 0: expected grey or RGB"),
        ([np.zeros((9, 9, 3), np.int64)], {}, TypeError, "picture 0: .*int64"),
        ([torch.zeros(9, 9)], {}, ValueError, r"picture 0: .*\(9, 9\)"),
        ([torch.zeros(3, 9, 9, dtype=torch.int64)], {}, TypeError, "picture 0: .*int64"),
        ([(noise(3, 4, 3), noise(9, 9, 3))], {}, ValueError, "picture 0: 3 x 4 pixels"),
    ],
)
def test_crops_that_are_refused(pictures, options, error, message):
    with pytest.raises(error, match=message):
        RandomCropPairs(pictures, **{"patch_size": 4, "scale": 2, "length": 1, **options})


def test_pairs_that_do_not_fit_are_named_when_read():
    pairs = RandomCropPairs([(noise(9, 9, 3), noise(20, 18, 3))], patch_size=4, scale=2, length=1)
    with pytest.raises(ValueError, match="picture 0: 20 x 18 pixels are not 2 times 9 x 9; give the scale of the pair"):
        pairs[0]


def test_a_small_picture_in_a_folder_is_named_at_once(tmp_path):
    folder = ImageFolder(write_folder(tmp_path, {"a.png": noise(20, 20, 3), "tiny.png": noise(7, 20, 3)}))
    with pytest.raises(ValueError, match=r"tiny\.png: 3 x 10 pixels"):
        RandomCropPairs(folder, patch_size=4, scale=2, length=1)


class _Lazy:
    """Pictures made on demand: nothing is known of them before."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> np.ndarray:
        return noise(8 if index else 6, 8, 3)


def test_pictures_made_on_demand():
    pairs = RandomCropPairs(_Lazy(), patch_size=3, scale=2, length=20)
    assert {tuple(lq.shape) for lq, _ in pairs} == {(3, 3, 3)}
    small = RandomCropPairs(_Lazy(), patch_size=4, scale=2, length=20)
    with pytest.raises(ValueError, match="picture 0: 3 x 4 pixels"):
        list(small)
