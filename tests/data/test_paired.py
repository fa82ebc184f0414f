"""Which pictures of two folders belong together."""

from pathlib import Path

import pytest
import torch
from picture_files import noise, write_folder
from PIL import Image

from restorekit.data import ImageFolder, PairedFolder


def _pair_roots(root: Path, lq: dict[str, tuple[int, int]], hq: dict[str, tuple[int, int]]) -> tuple[Path, Path]:
    for side, sizes in (("lq", lq), ("hq", hq)):
        (root / side).mkdir()
        write_folder(root / side, {name: noise(*size, 3, seed=len(name)) for name, size in sizes.items()})
    return root / "lq", root / "hq"


def test_pairs_by_name(tmp_path):
    roots = _pair_roots(tmp_path, {"b.png": (4, 5), "a.png": (3, 4)}, {"a.bmp": (9, 12), "b.jpg": (12, 15)})
    pairs = PairedFolder(*roots)
    assert pairs.scale == 3
    assert [(lq.name, hq.name) for lq, hq in pairs.paths] == [("a.png", "a.bmp"), ("b.png", "b.jpg")]
    assert pairs.sizes == ((3, 4), (4, 5))
    assert len(pairs) == 2
    for lq, hq in pairs:
        assert [3 * side for side in lq.shape[1:]] == list(hq.shape[1:])
    lq, hq = pairs[0]
    assert torch.equal(lq, ImageFolder(roots[0])[0])
    assert torch.equal(hq, ImageFolder(roots[1])[0])


def test_pairs_of_equal_size_and_with_the_scale_in_the_name(tmp_path):
    roots = _pair_roots(tmp_path, {"ax4.png": (4, 5), "b.png": (4, 5)}, {"a.png": (16, 20), "b.png": (16, 20)})
    assert [lq.name for lq, _ in PairedFolder(*roots, scale=4).paths] == ["ax4.png", "b.png"]
    with pytest.raises(ValueError, match=r"without one: .*hq/a\.png, .*lq/ax4\.png$"):
        PairedFolder(*roots)
    assert PairedFolder(roots[0], roots[0]).scale == 1


def test_one_picture_is_the_partner_of_one(tmp_path):
    roots = _pair_roots(tmp_path, {"ax2.png": (2, 2)}, {"a.png": (4, 4), "ax2.png": (4, 4)})
    with pytest.raises(ValueError, match=r"without one: .*hq/a\.png$"):
        PairedFolder(*roots, scale=2)


def test_a_remainder_is_cut_off_when_the_scale_is_given(tmp_path):
    roots = _pair_roots(tmp_path, {"a.png": (4, 5)}, {"a.png": (14, 17)})
    hq = PairedFolder(*roots, scale=3)[0][1]
    assert torch.equal(hq, ImageFolder(roots[1])[0][:, :12, :15])
    with pytest.raises(ValueError, match=r"14 x 17 pixels are not 3 times 4 x 5; make the sizes fit, or give scale="):
        PairedFolder(*roots)


@pytest.mark.parametrize("size", [(11, 15), (12, 18), (15, 15), (8, 10), (4, 5)])
def test_sizes_that_do_not_belong_together(tmp_path, size):
    roots = _pair_roots(tmp_path, {"a.png": (4, 5)}, {"a.png": size})
    with pytest.raises(
        ValueError, match=rf"lq/a\.png and .*hq/a\.png: {size[0]} x {size[1]} pixels are not 3 times 4 x 5"
    ):
        PairedFolder(*roots, scale=3)


def test_a_factor_must_fit_all_pairs(tmp_path):
    roots = _pair_roots(tmp_path, {"a.png": (4, 5), "b.png": (4, 5)}, {"a.png": (8, 10), "b.png": (12, 15)})
    with pytest.raises(ValueError, match=r"b\.png: 12 x 15 pixels are not 2 times"):
        PairedFolder(*roots)


def test_pairs_that_are_refused(tmp_path):
    lq = {f"{i}.png": (1, 1) for i in range(9)} | {"only_lq.png": (1, 1)}
    roots = _pair_roots(tmp_path, lq, {"0.png": (1, 1), "only_hq.png": (1, 1)})
    with pytest.raises(ValueError, match=r"without one: .*only_hq\.png, .*1\.png, .*4\.png and 5 more"):
        PairedFolder(*roots)
    write_folder(roots[1], {"0.bmp": noise(1, 1, 3)})
    with pytest.raises(ValueError, match=r"0\.bmp and .*0\.png have the same name"):
        PairedFolder(*roots)
    with pytest.raises(ValueError, match="scale must be at least 1"):
        PairedFolder(*roots, scale=0)
    with pytest.raises(TypeError, match="scale must be an integer"):
        PairedFolder(*roots, scale=1.5)
    with pytest.raises(NotADirectoryError, match="nowhere"):
        PairedFolder(tmp_path / "nowhere", roots[1])


def test_sizes_follow_the_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for side, size in (("lq", (4, 6)), ("hq", (12, 8))):
        (tmp_path / side).mkdir()
        Image.new("RGB", size).save(tmp_path / side / "a.jpg", exif=exif if side == "lq" else b"")
    pairs = PairedFolder(tmp_path / "lq", tmp_path / "hq")
    assert (pairs.sizes, pairs.scale) == (((4, 6),), 2)
    assert [x.shape for x in pairs[0]] == [(3, 4, 6), (3, 8, 12)]


def test_the_first_version_of_a_written_set_is_a_partner(tmp_path):
    roots = _pair_roots(tmp_path, {"a_0.png": (4, 5), "b.png": (4, 5)}, {"a.png": (8, 10), "b.png": (8, 10)})
    assert [lq.name for lq, _ in PairedFolder(*roots).paths] == ["a_0.png", "b.png"]
    assert [lq.name for lq, _ in PairedFolder(*roots, scale=2).paths] == ["a_0.png", "b.png"]
    write_folder(roots[0], {"a_1.png": noise(4, 5, 3)})
    with pytest.raises(ValueError, match=r"without one: .*lq/a_1\.png$"):
        PairedFolder(*roots)
