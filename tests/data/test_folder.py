"""What a folder holds: its pictures in order, as RGB, and what is refused."""

import numpy as np
import pytest
import torch
from picture_files import noise, write_folder

from restorekit.data import ImageFolder


def test_a_folder_lists_its_pictures_sorted(tmp_path):
    names = [
        "b.png",
        "a.jpg",
        "c.PNG",
        "d.JPeG",
        "e.tif",
        "f.webp",
        "g.bmp",
        "sub/h.png",
        ".hidden.png",
        ".cache/i.png",
    ]
    write_folder(tmp_path, {name: noise(4, 5, 3) for name in names})
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "z.png").mkdir()
    flat = ImageFolder(str(tmp_path))
    assert [path.name for path in flat.paths] == ["a.jpg", "b.png", "c.PNG", "d.JPeG", "e.tif", "f.webp", "g.bmp"]
    deep = ImageFolder(tmp_path, recursive=True)
    assert [path.relative_to(tmp_path).as_posix() for path in deep.paths][-2:] == ["g.bmp", "sub/h.png"]
    assert len(deep) == len(flat) + 1 == 8


def test_items_are_rgb_tensors(tmp_path):
    colour, grey, fine = noise(4, 5, 3), noise(4, 5), noise(4, 5, 3, dtype=np.uint16)
    folder = ImageFolder(write_folder(tmp_path, {"a.png": colour, "b.png": grey, "c.png": fine}))
    expected = [colour / 255, np.stack([grey] * 3, axis=2) / 255, fine / 65535]
    for item, array in zip(folder, expected, strict=True):
        assert item.shape == (3, 4, 5)
        np.testing.assert_array_equal(item.permute(1, 2, 0).numpy(), array.astype(np.float32))
    assert folder.read(1).shape == (4, 5, 3)
    assert folder.read(2).dtype == np.uint16
    assert torch.equal(folder[-1], folder[2])
    with pytest.raises(IndexError):
        folder[3]


def test_folders_that_are_refused(tmp_path):
    with pytest.raises(NotADirectoryError, match="nowhere is not a folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no picture; expected files ending in \.bmp"):
        ImageFolder(tmp_path)
    write_folder(tmp_path, {"a.png": noise(4, 5, 4), "b.png": noise(4, 5, 2), "c.png": noise(4, 5, 3)})
    (tmp_path / "d.png").write_text("text")
    (tmp_path / "e.png").symlink_to(tmp_path / "gone.png")
    folder = ImageFolder(tmp_path, max_pixels=19)
    with pytest.raises(ValueError, match=r"c\.png.*max_pixels=19"):
        folder[2]
    folder = ImageFolder(tmp_path)
    for index, name in enumerate("ab"):
        with pytest.raises(ValueError, match=rf"{name}\.png: has an alpha channel"):
            folder[index]
    with pytest.raises(ValueError, match=r"d\.png: not a picture"):
        folder[3]
    with pytest.raises(FileNotFoundError, match=r"e\.png"):
        folder[4]
    with pytest.raises(ValueError, match="max_pixels"):
        ImageFolder(tmp_path, max_pixels=0)
