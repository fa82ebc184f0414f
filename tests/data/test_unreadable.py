"""A damaged picture among sound ones: told, counted and replaced in the same way everywhere, or refused."""

import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from picture_files import noise, write_folder
from torch.utils.data import DataLoader

from restorekit.data import (
    CropCache,
    DegradedFolder,
    ImageFolder,
    PairedFolder,
    PseudoPairs,
    RandomCropPairs,
    write_degraded,
)

COUNT = 12
# What each kind of bad file holds, made of the bytes of a sound one.
HEADERS = {"text": lambda sound: b"no picture at all\n", "empty": lambda sound: b"", "torn": lambda sound: sound[:20]}
BODIES = {"truncated": lambda sound: sound[: len(sound) // 2], "turned": lambda sound: sound[:60] + sound[61:]}


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "in", {f"{i:02}.png": noise(16, 20, 3, seed=i) for i in range(COUNT)})


def _spoil(root, index, how):
    path = root / f"{index:02}.png"
    path.write_bytes(how(path.read_bytes()))
    return path


def _crops(root, *, length=60, **options):
    return RandomCropPairs(ImageFolder(root), patch_size=5, scale=2, length=length, seed=3, **options)


def _read(items):
    """All items, and what was told on the way."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = list(items)
    return found, [str(warning.message) for warning in told]


def _same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def _sources(root):
    """Which picture each crop of hq was taken from."""
    wholes = [noise(16, 20, 3, seed=i) for i in range(COUNT)]
    kinds = [{tuple(pixel) for pixel in whole.reshape(-1, 3).tolist()} for whole in wholes]
    return lambda hq: next(
        i for i, kind in enumerate(kinds) if {tuple(p) for p in (hq * 255).round().int().flatten(1).T.tolist()} <= kind
    )


@pytest.mark.parametrize("how", [*HEADERS, *BODIES])
def test_other_pictures_take_the_place_of_a_bad_one(root, how):
    sound = list(_crops(root))
    bad = _spoil(root, 4, {**HEADERS, **BODIES}[how])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        pairs = _crops(root)
        items = list(pairs)
        again = list(pairs)
    (message,) = [str(warning.message) for warning in told]
    assert message.startswith(f"1 of {COUNT} pictures could not be read so far and are left out: {bad}: ")
    assert all(_same(*both) for both in zip(items, again, strict=True))
    source = _sources(root)
    for before, after in zip(sound, items, strict=True):
        assert _same(before, after) == (source(before[1]) != 4)
        assert source(after[1]) != 4
    replaced = [source(after[1]) for before, after in zip(sound, items, strict=True) if source(before[1]) == 4]
    assert len(replaced) >= 4
    assert len(set(replaced)) >= 3  # not the neighbour alone


def test_items_depend_on_seed_and_index_alone_where_pictures_are_bad(root):
    _spoil(root, 2, HEADERS["text"])
    for index in (0, 5, 6, 11):
        _spoil(root, index, BODIES["truncated"])
    forwards, told = _read(_crops(root)[i] for i in range(60))
    assert [line.split(" of ")[0] for line in told] != []
    backwards, _ = _read(_crops(root)[i] for i in reversed(range(60)))
    late, _ = _read(_crops(root, cache_bytes=0)[i] for i in range(40, 60))
    assert all(_same(*both) for both in zip(forwards, reversed(backwards), strict=True))
    assert all(_same(*both) for both in zip(forwards[40:], late, strict=True))


def test_each_process_tells_each_bad_picture_once_with_a_running_count(root):
    _spoil(root, 2, HEADERS["text"])
    for index in (0, 5):
        _spoil(root, index, BODIES["truncated"])
    with pytest.warns(UserWarning, match=rf"^1 of {COUNT} pictures .*02\.png: not a picture"):
        pairs = _crops(root)
    _, told = _read(pairs)
    assert [line.split(" pictures")[0] for line in told] == [f"2 of {COUNT}", f"3 of {COUNT}"]
    assert _read(pairs)[1] == []
    assert _read(pickle.loads(pickle.dumps(pairs)))[1] == []


def test_data_workers_give_the_same_items_and_tell_on_stderr(root):
    _spoil(root, 7, BODIES["truncated"])
    script = f"""
import torch
from torch.utils.data import DataLoader
from restorekit.data import ImageFolder, RandomCropPairs
pairs = RandomCropPairs(ImageFolder({str(root)!r}), patch_size=5, scale=2, length=60, seed=3)
there = [torch.cat(side) for side in zip(*DataLoader(pairs, batch_size=10, num_workers=2))]
here = [torch.stack(side) for side in zip(*pairs)]
assert all(torch.equal(a, b) for a, b in zip(here, there))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"1 of {COUNT} pictures could not be read so far and are left out: {root}/07.png") == 3


def test_an_error_in_a_data_worker_names_the_file(root):
    bad = _spoil(root, 7, BODIES["truncated"])
    with pytest.raises(ValueError, match=f"{bad}: the file is damaged, truncated"):
        list(DataLoader(_crops(root, strict=True), num_workers=1))


@pytest.mark.parametrize("how", HEADERS)
def test_strict_refuses_a_bad_header_at_once(root, how):
    bad = _spoil(root, 4, HEADERS[how])
    with pytest.raises(ValueError, match=str(bad)):
        _crops(root, strict=True)


@pytest.mark.parametrize("how", BODIES)
def test_strict_refuses_a_bad_body_when_it_is_drawn(root, how):
    bad = _spoil(root, 4, BODIES[how])
    with pytest.raises(ValueError, match=f"{bad}: the file is damaged"):
        list(_crops(root, strict=True))


def test_alpha_and_bombs_are_left_out_too(root):
    write_folder(root, {"03.png": noise(16, 20, 4), "05.png": noise(60, 60, 3)})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        list(RandomCropPairs(ImageFolder(root, max_pixels=3000), patch_size=5, scale=2, length=60))
    first, second = (str(warning.message) for warning in told)
    assert "05.png: 60 x 60 pixels are more than max_pixels" in first
    assert "03.png: has an alpha channel" in second


def test_a_file_that_goes_away_is_left_out(root):
    pairs = _crops(root)
    (root / "04.png").unlink()
    _, (message,) = _read(pairs)
    assert "04.png: no such file" in message


def test_nothing_that_can_be_read_is_an_error(root):
    for index in range(COUNT):
        _spoil(root, index, BODIES["truncated"])
    pairs = _crops(root)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"none of the {COUNT} pictures can be read, the last one: .*damaged"):
            _read(pairs)
    for index in range(COUNT):
        _spoil(root, index, HEADERS["empty"])
    with (
        pytest.warns(UserWarning, match=f"of {COUNT} pictures could not be read"),
        pytest.raises(ValueError, match=r"none of the 12 .*11\.png: the file is empty"),
    ):
        _crops(root)


def test_small_pictures_and_wrong_arrays_are_still_refused(root):
    write_folder(root, {"04.png": noise(7, 20, 3)})
    with pytest.raises(ValueError, match=r"04\.png: 3 x 10 pixels .* too few for patches of 5"):
        _crops(root)
    with pytest.raises(ValueError, match="picture 1: expected grey or RGB"):
        RandomCropPairs([noise(16, 20, 3), noise(16, 20, 4)], patch_size=5, scale=2, length=1)


def test_a_crop_cache_leaves_bad_pictures_out(root, tmp_path):
    bad = [_spoil(root, 3, HEADERS["text"]), _spoil(root, 8, BODIES["truncated"])]
    with pytest.warns(UserWarning, match="could not be read") as told:
        cache = CropCache(root, tmp_path / "c.npy", size=16, progress=False)
    assert [f"{i + 1} of {COUNT} pictures" in str(told[i].message) for i in range(2)] == [True, True]
    assert [str(path) in str(told[i].message) for i, path in enumerate(bad)] == [True, True]
    assert len(cache) == 2 * (COUNT - 2)
    with pytest.raises(ValueError, match=r"03\.png: not a picture"):
        CropCache(root, tmp_path / "c.npy", size=16, strict=True, progress=False)
    np.testing.assert_array_equal(cache[0], noise(16, 20, 3, seed=0)[:, :16])  # the file before is still there


def test_training_crops_of_pseudo_pairs(root):
    _spoil(root, 4, BODIES["truncated"])
    pairs = RandomCropPairs(PseudoPairs(root, scale=2), patch_size=5, scale=2, length=60, seed=3)
    items, (message,) = _read(pairs)
    assert "04.png" in message
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert all(_same(*both) for both in zip(items, list(_crops(root)), strict=True))


def test_what_a_denoiser_gets_wrong_is_no_bad_picture(root):
    pairs = PseudoPairs(root, scale=2, denoiser=lambda x: x[:, :, 1:])
    with pytest.raises(ValueError, match="the denoiser must return"):
        RandomCropPairs(pairs, patch_size=5, scale=2, length=1)[0]


def test_paired_folders_are_strict_unless_told(root, tmp_path):
    lq = write_folder(tmp_path / "lq", {f"{i:02}.png": noise(8, 10, 3, seed=i) for i in range(COUNT)})
    _spoil(lq, 3, HEADERS["text"])
    _spoil(root, 5, BODIES["truncated"])
    with pytest.raises(ValueError, match=r"lq/03\.png: not a picture"):
        PairedFolder(lq, root)
    with pytest.warns(UserWarning, match=rf"1 of {COUNT} pairs could not be read .*lq/03\.png"):
        folder = PairedFolder(lq, root, strict=False)
    assert len(folder) == len(folder.sizes) == COUNT - 1
    items, (message,) = _read(RandomCropPairs(folder, patch_size=4, scale=2, length=80))
    assert f"1 of {COUNT - 1} pictures" in message
    assert str(root / "05.png") in message
    assert len(items) == 80


def _faded(x, *, generator=None, return_recipe=False):
    level = torch.rand((), generator=generator)
    return (x * level, {"level": float(level)}) if return_recipe else x * level


def test_degraded_folders_replace_bad_pictures(root):
    sound = list(DegradedFolder(root, _faded, variants=5, seed=1, labels=True))
    _spoil(root, 4, BODIES["truncated"])
    folder = DegradedFolder(root, _faded, variants=5, seed=1, labels=True)
    items, (message,) = _read(folder)
    assert f"1 of {COUNT} pictures" in message
    source = _sources(root)
    replaced = {source(items[20 + variant][1]) for variant in range(5)}
    assert 4 not in replaced
    assert len(replaced) >= 2
    for index, (before, after) in enumerate(zip(sound, items, strict=True)):
        assert before[2] == after[2]
        assert _same(before[:2], after[:2]) == (index // 5 != 4)
    again, _ = _read(DegradedFolder(root, _faded, variants=5, seed=1)[i] for i in (24, 20))
    assert _same(again[0], items[24][:2])
    assert _same(again[1], items[20][:2])
    with pytest.raises(ValueError, match=r"04\.png: the file is damaged"):
        list(DegradedFolder(root, _faded, strict=True))


def test_degraded_patches_are_told_by_their_headers(root):
    bad = _spoil(root, 4, HEADERS["text"])
    with pytest.warns(UserWarning, match=str(bad)):
        folder = DegradedFolder(root, _faded, patch_size=5)
    assert len(_read(folder)[0]) == COUNT
    with pytest.raises(ValueError, match=str(bad)):
        DegradedFolder(root, _faded, patch_size=5, strict=True)


def test_a_written_set_never_holds_another_picture_under_a_name(root, tmp_path):
    bad = _spoil(root, 4, BODIES["truncated"])
    with pytest.raises(ValueError, match=f"{bad}: the file is damaged"):
        write_degraded(root, _faded, tmp_path / "set", progress=False)
