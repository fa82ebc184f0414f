"""Reading a written set back: what comes out, and lists and files that are refused."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_files import noise, write_folder
from torch.utils.data import DataLoader

from restorekit.data import DegradedSet, ImageFolder, RandomCropPairs, collate_labels, write_degraded
from restorekit.image.files import read_image, write_image


def _grain(x, *, generator=None, return_recipe=False):
    seed = int(torch.randint(1 << 40, (), generator=generator))
    lq = 0.5 * (x + torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)))
    return (lq, {"seed": seed}) if return_recipe else lq


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "clean", {f"{name}.png": noise(8, 8, 3, seed=i) for i, name in enumerate("abc")})


@pytest.fixture
def root(clean: Path, tmp_path: Path) -> Path:
    return write_degraded(clean, _grain, tmp_path / "set", variants=2, progress=False).root


def _replace(root: Path, number: int, line: str) -> None:
    path = root / "manifest.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[: number - 1], line, *lines[number:]]) + "\n")


def test_items(clean, root):
    plain, labelled = DegradedSet(root, hq_root=clean), DegradedSet(root, hq_root=clean, labels=True, verify=True)
    lines = [json.loads(line) for line in (root / "manifest.jsonl").read_text().splitlines()[1:]]
    assert len(plain) == len(labelled) == 6
    for index, line in enumerate(lines):
        lq, hq, recipe = labelled[index]
        assert recipe == line["recipe"] == labelled.recipe(index - 6)
        np.testing.assert_array_equal(plain.read(index)[0], read_image(root / "lq" / line["lq"]))
        assert all(torch.equal(a, b) for a, b in zip(plain[index], (lq, hq), strict=True))
        assert torch.equal(hq, ImageFolder(clean)[index // 2])
    with pytest.raises(IndexError, match="index must be below 6"):
        plain[6]
    lq, _, recipes = next(iter(DataLoader(labelled, batch_size=6, collate_fn=collate_labels)))
    assert lq.shape == (6, 3, 8, 8)
    assert recipes == [line["recipe"] for line in lines]
    assert torch.equal(pickle.loads(pickle.dumps(plain))[3][0], plain[3][0])
    assert (plain.header.seed, plain.header.composition[:16]) == (0, "<function _grain")


def test_crops_for_training(clean, root):
    pairs = RandomCropPairs(DegradedSet(root, hq_root=clean), patch_size=8, scale=1, length=30)
    wholes = [sorted(lq.flatten().tolist()) for lq, _ in DegradedSet(root, hq_root=clean)]
    assert {wholes.index(sorted(lq.flatten().tolist())) for lq, _ in pairs} == set(range(6))


def test_copied_clean_pictures_are_found(clean, tmp_path):
    write_degraded(clean, _grain, tmp_path / "cut", crop=4, progress=False)
    assert [x.shape for x in DegradedSet(tmp_path / "cut", verify=True)[0]] == [(3, 4, 4)] * 2


def test_an_unfinished_set_says_how_to_finish(clean, root):
    path = root / "manifest.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]) + b'{"lq": "b_')
    with pytest.raises(
        ValueError, match="set holds 3 of 6 pictures; call write_degraded again with the same arguments"
    ):
        DegradedSet(root, hq_root=clean)


def test_files_that_are_missing_or_changed_are_named(clean, root, capsys):
    with pytest.raises(FileNotFoundError, match=r"missing: .*set/hq/a\.png.*; hq_root= must name the folder"):
        DegradedSet(root)
    found = DegradedSet(root, hq_root=clean)
    found.verify()
    assert "9/9" in capsys.readouterr().err
    write_image(root / "lq" / "b_1.png", noise(8, 8, 3, seed=9))
    write_image(clean / "c.png", noise(8, 8, 3, seed=9))
    with pytest.raises(ValueError, match=r"have changed since it was written: .*lq/b_1\.png, .*clean/c\.png$"):
        DegradedSet(root, hq_root=clean, verify=True)
    (root / "lq" / "b_1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"files of the set are missing: .*lq/b_1\.png; hq_root"):
        DegradedSet(root, hq_root=clean)
    with pytest.raises(FileNotFoundError, match=r"manifest\.jsonl does not exist; write_degraded makes it"):
        DegradedSet(clean)


def test_a_pair_of_other_sizes_is_named(clean, root):
    found = DegradedSet(root, hq_root=clean)
    write_image(clean / "a.png", noise(9, 8, 3))
    with pytest.raises(ValueError, match=r"lq/a_0\.png: 9 x 8 pixels are not 1 times 8 x 8"):
        found[0]


_GOOD = {"lq": "a_0.png", "lq_sha256": "0", "hq": "a.png", "hq_sha256": "0", "recipe": {}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lq": "/etc/a.png"}, "not plain names"),
        ({"lq": "../a.png"}, "not plain names"),
        ({"lq": "sub/a.png"}, "not plain names"),
        ({"lq": ""}, "not plain names"),
        ({"lq": "a\0.png"}, "not plain names"),
        ({"hq": "/etc/a.png"}, "not plain names"),
        ({"hq": "sub/../../a.png"}, "not plain names"),
        ({"hq": "C:a.png"}, "not plain names"),
        ({"hq": "..\\a.png"}, "not plain names"),
        ({"hq": "sub//a.png"}, "not plain names"),
        ({"lq": 300 * "a"}, "not plain names"),
        ({"hq": "\ud800.png"}, "not plain names"),
        ({"hq": 3}, "hq must be str, got 3"),
        ({"recipe": []}, "recipe must be dict"),
        ({"more": 1}, "expected an object with the keys lq, "),
    ],
)
def test_lines_that_are_refused(clean, root, changes, message):
    _replace(root, 4, json.dumps({**_GOOD, **changes}))
    with pytest.raises(ValueError, match=rf"manifest\.jsonl, line 4: .*{message}"):
        DegradedSet(root, hq_root=clean)


def test_damaged_lists_are_refused(clean, root):
    path = root / "manifest.jsonl"
    whole = path.read_bytes()
    header = json.loads(whole.splitlines()[0])
    cases = [
        (whole.replace(b'"lq": "b_0', b"\xff"), r"line 4: not JSON"),
        (b"", r"line 1: no header"),
        (b"[" * 100_000 + b"\n", r"line 1: not JSON"),
        (b"[1]\n", r"line 1: expected an object with the keys count, variants, seed"),
        (whole.replace(b'"count": 6', b'"count": true'), r"line 1: count must be int, got True"),
        (whole.replace(b'"count": 6', b'"count": 5'), r"line 7: more lines than the 5"),
        (json.dumps({**header, "restorekit": 9}).encode() + b"\n", r"line 1: format 9 is not 1"),
    ]
    for content, message in cases:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            DegradedSet(root, hq_root=clean)
