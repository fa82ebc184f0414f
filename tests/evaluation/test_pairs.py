import numpy as np
import pytest
import torch
from PIL import Image

from restorekit.data import PairedFolder
from restorekit.evaluation.pairs import Pairs
from restorekit.image import resize_uint8, write_image


def save(path, height, width, *, channels=3, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width, channels) if channels > 1 else (height, width)
    pixels = np.random.default_rng([seed, *path.name.encode()]).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def tensor(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("suffix", ["", "x3"])
def test_low_resolution_belongs_to_the_top_left_of_its_truth(tmp_path, suffix):
    truth = save(tmp_path / "HR/a.png", 20, 25)
    low = save(tmp_path / f"LRbicx3/a{suffix}.png", 6, 8, seed=1)
    pairs = Pairs.open(tmp_path, 3)
    ((path, lq, hq),) = pairs
    assert path == tmp_path / "HR/a.png"
    torch.testing.assert_close(hq, tensor(truth[:18, :24]))
    torch.testing.assert_close(lq, tensor(low))
    assert pairs.source() == "LRbicx3"


@pytest.mark.parametrize("folder", ["HR", "."])
def test_low_resolution_is_made_when_there_is_none(tmp_path, folder):
    truth = save(tmp_path / folder / "a.png", 21, 26)
    pairs = Pairs.open(tmp_path, 2)
    ((_, lq, hq),) = pairs
    torch.testing.assert_close(hq, tensor(truth[:20, :26]))
    torch.testing.assert_close(lq, tensor(resize_uint8(truth[:20, :26], 1 / 2)))
    assert pairs.source() == "resize_uint8"


def test_a_folder_for_another_scale_is_not_used(tmp_path):
    save(tmp_path / "HR/a.png", 24, 24)
    save(tmp_path / "LRbicx2/a.png", 12, 12)
    pairs = Pairs.open(tmp_path, 4)
    assert [lq.shape for _, lq, _ in pairs] == [(1, 3, 6, 6)]
    assert pairs.source() == "resize_uint8"


def test_grey_pictures_count_as_rgb(tmp_path):
    truth = save(tmp_path / "HR/a.png", 8, 8, channels=1)
    low = save(tmp_path / "LRbicx2/a.png", 4, 4, channels=1)
    ((_, lq, hq),) = Pairs.open(tmp_path, 2)
    torch.testing.assert_close(hq, tensor(np.dstack([truth] * 3)))
    torch.testing.assert_close(lq, tensor(np.dstack([low] * 3)))


def test_pictures_come_in_order_of_name_and_one_at_a_time(tmp_path):
    for name in "cab":
        save(tmp_path / f"{name}.png", 8, 8)
    (tmp_path / "b.png").write_bytes(b"no longer a picture")
    found = iter(Pairs.open(tmp_path, 2))
    assert next(found)[0].name == "a.png"
    with pytest.raises(ValueError, match=r"b\.png"):
        next(found)


@pytest.mark.parametrize(
    "size",
    [(5, 7), (6, 8), (12, 14), (7, 6)],
)
def test_sizes_that_do_not_match(tmp_path, size):
    save(tmp_path / "HR/a.png", 13, 15)
    save(tmp_path / "LRbicx2/a.png", *size)
    with pytest.raises(ValueError, match=rf"a\.png: 13 x 15 pixels are not 2 times {size[0]} x {size[1]}"):
        Pairs.open(tmp_path, 2)


def test_picture_smaller_than_the_scale(tmp_path):
    save(tmp_path / "a.png", 3, 9)
    with pytest.raises(ValueError, match=r"a\.png: a side is shorter than the scale, 4"):
        list(Pairs.open(tmp_path, 4))


@pytest.mark.parametrize(
    ("hr", "lr", "alone"),
    [
        (["a", "b"], ["a"], ["HR/b.png"]),
        (["a"], ["a", "b"], ["LRbicx2/b.png"]),
        (["a", "b"], ["a", "c"], ["HR/b.png", "LRbicx2/c.png"]),
        (["a"], ["a", "ax2"], ["LRbicx2/ax2.png"]),
        (["a"], ["ax4"], ["HR/a.png", "LRbicx2/ax4.png"]),
    ],
)
def test_names_that_do_not_match(tmp_path, hr, lr, alone):
    for folder, names, side in (("HR", hr, 8), ("LRbicx2", lr, 4)):
        for name in names:
            save(tmp_path / folder / f"{name}.png", side, side)
    with pytest.raises(ValueError, match="every picture needs a partner") as caught:
        Pairs.open(tmp_path, 2)
    assert str(caught.value).endswith(": " + ", ".join(str(tmp_path / name) for name in alone))


def test_two_pictures_of_one_name_are_ambiguous(tmp_path):
    for name in ("HR/a.png", "HR/a.bmp"):
        save(tmp_path / name, 8, 8)
    save(tmp_path / "LRbicx2/a.png", 4, 4)
    with pytest.raises(ValueError, match=r"a\.bmp and \S*a\.png have the same name"):
        Pairs.open(tmp_path, 2)


@pytest.mark.parametrize("folder", ["nowhere", "file.txt"])
def test_no_folder(tmp_path, folder):
    (tmp_path / "file.txt").write_text("no folder")
    with pytest.raises(NotADirectoryError, match=folder):
        Pairs.open(tmp_path / folder, 2)


@pytest.mark.parametrize("empty", [".", "HR", "LRbicx2"])
def test_no_pictures(tmp_path, empty):
    if empty == "LRbicx2":
        save(tmp_path / "HR/a.png", 8, 8)
    (tmp_path / empty).mkdir(exist_ok=True)
    (tmp_path / empty / "notes.txt").write_text("no picture")
    with pytest.raises(ValueError, match=f"{(tmp_path / empty).name} holds no picture"):
        Pairs.open(tmp_path, 2)


def test_deep_pictures_are_rounded_to_8_bits_for_the_low_resolution(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, (12, 16, 3), dtype=np.uint16)
    write_image(tmp_path / "a.png", deep)
    ((_, lq, hq),) = Pairs.open(tmp_path, 2)
    torch.testing.assert_close(hq, torch.from_numpy(deep / 65535).permute(2, 0, 1)[None].float())
    rounded = np.floor(deep / 257 + 0.5).astype(np.uint8)
    torch.testing.assert_close(lq, tensor(resize_uint8(rounded, 1 / 2)))


def test_hash_follows_names_and_bytes_of_the_files_in_use(tmp_path):
    hashes = []

    def note():
        hashes.append(Pairs.open(tmp_path, 2).hash())

    save(tmp_path / "HR/a.png", 8, 8)
    note()
    save(tmp_path / "LRbicx4/a.png", 2, 2)
    note()
    save(tmp_path / "LRbicx2/a.png", 4, 4)
    note()
    save(tmp_path / "LRbicx2/a.png", 4, 4, seed=1)
    note()
    for folder in ("HR", "LRbicx2"):
        (tmp_path / folder / "a.png").rename(tmp_path / folder / "b.png")
    note()
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


def test_hash_does_not_depend_on_where_the_folder_is(tmp_path):
    for folder in ("one/HR", "two/HR", "three"):
        save(tmp_path / folder / "a.png", 8, 8)
    assert len({Pairs.open(tmp_path / folder, 2).hash() for folder in ("one", "two", "three")}) == 1


def test_any_two_folders(tmp_path):
    truth = save(tmp_path / "clean/a.png", 8, 9)
    noisy = save(tmp_path / "noisy/a.png", 8, 9, seed=1)
    pairs = Pairs.open(PairedFolder(tmp_path / "noisy", tmp_path / "clean", scale=1), 1)
    ((path, lq, hq),) = pairs
    assert path == tmp_path / "clean/a.png"
    torch.testing.assert_close(hq, tensor(truth))
    torch.testing.assert_close(lq, tensor(noisy))
    assert pairs.source() == "noisy"
    assert pairs.names() == ("a",)
    assert pairs.files() == (tmp_path / "clean/a.png", tmp_path / "noisy/a.png")


def test_two_folders_of_another_scale(tmp_path):
    save(tmp_path / "clean/a.png", 8, 8)
    save(tmp_path / "small/a.png", 4, 4)
    with pytest.raises(ValueError, match="scale must be that of the PairedFolder, 2, got 4"):
        Pairs.open(PairedFolder(tmp_path / "small", tmp_path / "clean"), 4)


def test_one_folder_has_no_pairs_of_equal_size(tmp_path):
    save(tmp_path / "a.png", 8, 8)
    with pytest.raises(ValueError, match=r"scale must be at least 2 for a path, got 1; .* data\.PairedFolder\("):
        Pairs.open(tmp_path, 1)
