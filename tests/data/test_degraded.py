"""Degraded folders: what an item is, what it depends on, and what is refused."""

import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from picture_files import noise, write_folder
from torch.utils.data import DataLoader

from restorekit.data import DegradedFolder, ImageFolder, collate_labels
from restorekit.image.geometry import dihedral


class _Grain:
    """Adds seeded noise, shrinks by leaving pixels out, and says with what seed; stops at a given call."""

    def __init__(self, scale: int = 1, stop: int = -1) -> None:
        self.scale, self.stop, self.calls = scale, stop, 0

    def __repr__(self) -> str:
        return f"_Grain({self.scale})"

    def __call__(self, x, *, generator=None, return_recipe=False):
        if self.calls == self.stop:
            raise KeyboardInterrupt
        self.calls += 1
        seed = int(torch.randint(1 << 40, (), generator=generator))
        noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
        lq = (0.8 * x + 0.2 * noise)[..., :: self.scale, :: self.scale]
        return (lq, {"seed": seed, "steps": [{"level": 0.2, "size": list(lq.shape)}]}) if return_recipe else lq


def _equal(a: tuple, b: tuple) -> bool:
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in zip(a, b, strict=True))


def test_items_are_pairs_with_labels_if_asked(tmp_path):
    pictures = {"a.png": noise(9, 11, 3), "b.png": noise(8, 7)}
    root = write_folder(tmp_path, pictures)
    plain, labelled = (DegradedFolder(root, _Grain(), variants=3, labels=labels) for labels in (False, True))
    assert len(plain) == len(labelled) == 6
    for index in range(6):
        lq, hq, recipe = labelled[index]
        assert torch.equal(hq, ImageFolder(root)[index // 3])
        grain = torch.rand((1, *hq.shape), generator=torch.Generator().manual_seed(recipe["seed"]))
        assert torch.equal(lq, (0.8 * hq[None] + 0.2 * grain)[0])
        assert _equal(plain[index], (lq, hq))
        assert _equal(labelled[index - 6], labelled[index])
    assert len({labelled[index][2]["seed"] for index in range(6)}) == 6
    with pytest.raises(IndexError, match="index must be below 6"):
        plain[6]


def test_an_item_depends_on_seed_picture_and_version_alone(tmp_path):
    pictures = [noise(12, 10, 3, seed=i) for i in range(3)]
    options = {"seed": 5, "patch_size": 4, "labels": True}
    folder = DegradedFolder(pictures, _Grain(), variants=4, **options)
    items = list(folder)
    more = DegradedFolder(pictures, _Grain(), variants=10**6, **options)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    for index in (11, 3, 0, 7):
        which, variant = divmod(index, 4)
        assert _equal(folder[index], items[index])
        assert _equal(more[which * 10**6 + variant], items[index])
    assert torch.equal(torch.get_rng_state(), state)
    assert not _equal(DegradedFolder(pictures, _Grain(), **{**options, "seed": 6})[0], items[0])
    copy = pickle.loads(pickle.dumps(DegradedFolder(write_folder(tmp_path, {"a.png": noise(9, 9)}), _Grain())))
    assert copy[0][0].shape == (3, 9, 9)


def test_workers_give_the_same_items_and_recipes_are_batched_as_a_list():
    folder = DegradedFolder([noise(6, 6, 3, seed=i) for i in range(2)], _Grain(), variants=2, labels=True)
    loader = DataLoader(folder, batch_size=4, num_workers=2, collate_fn=collate_labels)
    [(lq, hq, recipes)] = list(loader)
    here = collate_labels(list(folder))
    assert torch.equal(lq, here[0])
    assert torch.equal(hq, here[1])
    assert recipes == here[2] == [item[2] for item in folder]
    assert lq.shape == (4, 3, 6, 6)
    with pytest.raises(ValueError, match=r"items must be \(lq, hq, recipe\), got 2 values; .* labels=True"):
        collate_labels([(lq, hq)])


@pytest.mark.parametrize(("size", "crop", "place"), [((9, 12), 4, (2, 4)), ((7, 7), 7, (0, 0)), ((8, 5), 3, (2, 1))])
def test_the_centre_is_cut_out_first(size, crop, place):
    picture = noise(*size, 3)
    (top, left), folder = place, DegradedFolder([picture], _Grain(), crop=crop)
    expected = picture[top : top + crop, left : left + crop] / np.float32(255)
    np.testing.assert_array_equal(folder[0][1].permute(1, 2, 0).numpy(), expected)


def test_patches_lie_and_turn_uniformly():
    rows, columns = np.mgrid[:5, :4]
    picture = torch.from_numpy(np.stack([rows, columns, 0 * rows]).astype(np.uint8))
    folder = DegradedFolder([picture], lambda x, **_: x, patch_size=3, variants=3000)
    wholes = {
        dihedral(picture[:, top : top + 3, left : left + 3], k).numpy().tobytes(): (top, left, k)
        for top in range(3)
        for left in range(2)
        for k in range(8)
    }
    assert len(wholes) == 48
    counts = Counter(wholes[(hq * 255).round().byte().numpy().tobytes()] for _, hq in folder)
    chi_square = sum((counts[place] - 3000 / 48) ** 2 / (3000 / 48) for place in wholes.values())
    assert abs(chi_square - 47) < 5 * (2 * 47) ** 0.5


def test_a_composition_that_shrinks():
    picture = noise(11, 16, 3)
    lq, hq = DegradedFolder([picture], _Grain(3), scale=3)[0]
    assert (lq.shape, hq.shape) == ((3, 3, 5), (3, 9, 15))
    np.testing.assert_array_equal(hq.permute(1, 2, 0).numpy(), picture[:9, :15] / np.float32(255))
    lq, hq = DegradedFolder([picture], _Grain(3), scale=3, patch_size=2, crop=8)[0]
    assert (lq.shape, hq.shape) == ((3, 2, 2), (3, 6, 6))
    with pytest.raises(ValueError, match=r"picture 0: the composition made \(1, 3, 4, 6\) of .* is not scale=1; give"):
        DegradedFolder([picture], _Grain(3))[0]


def test_items_share_no_memory_with_the_pictures():
    picture = torch.full((3, 6, 6), 0.5)
    folder = DegradedFolder([picture], lambda x, **_: x.mul_(0), variants=2)
    for lq, hq in folder:
        lq.fill_(1)
        hq.fill_(1)
    assert (picture == 0.5).all()


def test_deep_pictures_keep_their_bits():
    picture = noise(4, 5, 3, dtype=np.uint16)
    hq = DegradedFolder([picture], _Grain())[0][1]
    np.testing.assert_array_equal(hq.permute(1, 2, 0).numpy(), picture.astype(np.float32) / np.float32(65535))


@pytest.mark.parametrize(
    ("pictures", "composition", "options", "error", "message"),
    [
        ([], _Grain(), {}, ValueError, "at least one picture"),
        (3, _Grain(), {}, TypeError, "got int"),
        ([noise(4, 4, 3)], "noise", {}, TypeError, "composition must be a function of a tensor, got str"),
        ([noise(4, 4, 3)], _Grain(), {"seed": -1}, ValueError, "seed must be at least 0"),
        ([noise(4, 4, 3)], _Grain(), {"variants": 0}, ValueError, "variants must be at least 1"),
        ([noise(4, 4, 3)], _Grain(), {"crop": 0}, ValueError, "crop must be at least 1"),
        ([noise(4, 4, 3)], _Grain(), {"patch_size": 2.5}, TypeError, "patch_size must be an integer"),
        ([noise(4, 4, 3)], _Grain(), {"scale": 0}, ValueError, "scale must be at least 1"),
        ([noise(9, 9, 3)], _Grain(), {"crop": 7, "patch_size": 4, "scale": 2}, ValueError, "does not fit into crop=7"),
        (
            [noise(4, 9, 3)],
            _Grain(),
            {"crop": 5},
            ValueError,
            "picture 0: 4 x 9 pixels are fewer than the 5 x 5 .*crop",
        ),
        (
            [noise(4, 9, 3)],
            _Grain(2),
            {"patch_size": 3, "scale": 2},
            ValueError,
            "fewer than the 6 x 6 .*patch_size=3",
        ),
        ([noise(4, 9, 3)], _Grain(5), {"scale": 5}, ValueError, "picture 0: a side is shorter than the scale, 5"),
        ([(noise(4, 4, 3), noise(4, 4, 3))], _Grain(), {}, TypeError, "picture 0: expected one clean picture"),
        ([noise(4, 4, 4)], _Grain(), {}, ValueError, "picture 0: expected grey or RGB"),
        ([noise(4, 4, 3)], lambda x, **_: None, {}, TypeError, "must return a floating-point tensor .*got NoneType"),
        ([noise(4, 4, 3)], lambda x, **_: x[0], {}, TypeError, "must return a floating-point tensor"),
        ([noise(4, 4, 3)], lambda x, **_: x, {"labels": True}, TypeError, "recipe as a dict, got NoneType"),
        ([noise(4, 4, 3)], lambda x, **_: (x, {}), {}, TypeError, "got tuple"),
    ],
)
def test_what_is_refused(pictures, composition, options, error, message):
    with pytest.raises(error, match=message):
        DegradedFolder(pictures, composition, **options)[0]


def test_small_pictures_in_a_folder_are_named_at_once(tmp_path):
    write_folder(tmp_path, {"a.png": noise(9, 9, 3), "tiny.png": noise(9, 5, 3)})
    with pytest.raises(ValueError, match=r"tiny\.png: 9 x 5 pixels are fewer than the 6 x 6 that crop=6 needs; leave"):
        DegradedFolder(tmp_path, _Grain(), crop=6)
    with pytest.raises(NotADirectoryError, match="nowhere"):
        DegradedFolder(tmp_path / "nowhere", _Grain())
