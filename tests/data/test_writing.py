"""Sets written to disk: the same bytes however they came about, and nothing half done."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_files import noise, write_folder

from restorekit.data import DegradedFolder, ImageFolder, write_degraded
from restorekit.image import to_image
from restorekit.image.files import read_image, write_image


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


def _write(folder: Path, root: Path, composition=None, **options):
    return write_degraded(folder, composition or _Grain(), root, progress=False, **{"variants": 2, **options})


def _tree(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "clean", {f"{name}.png": noise(9, 10, 3, seed=i) for i, name in enumerate("abc")})


def test_what_is_written(clean, tmp_path):
    root = tmp_path / "deep" / "set"
    found = _write(clean, root, seed=7)
    assert set(_tree(root)) == {"manifest.jsonl"} | {f"lq/{name}_{k}.png" for name in "abc" for k in range(2)}
    header, *lines = map(json.loads, (root / "manifest.jsonl").read_text().splitlines())
    assert (header["count"], header["seed"], header["variants"], header["crop"]) == (6, 7, 2, None)
    assert header["composition"] == "_Grain(1)"
    items = DegradedFolder(clean, _Grain(), seed=7, variants=2, labels=True)
    for index, (line, (lq, hq, recipe)) in enumerate(zip(lines, items, strict=True)):
        name = "abc"[index // 2]
        path = root / "lq" / f"{name}_{index % 2}.png"
        assert line == {
            "lq": path.name,
            "lq_sha256": _sha(path),
            "hq": f"{name}.png",
            "hq_sha256": _sha(clean / f"{name}.png"),
            "recipe": recipe,
        }
        np.testing.assert_array_equal(read_image(path), to_image(lq, like="uint8"))
        write_image(tmp_path / "again.png", to_image(lq, like="uint8"))
        assert (tmp_path / "again.png").read_bytes() == path.read_bytes()
        assert torch.equal(found[index][1], hq)


def test_clean_pictures_are_copied_when_cut_or_asked_for(clean, tmp_path):
    deep = noise(9, 11, 3, dtype=np.uint16)
    write_image(clean / "d.png", deep)
    cut = _write(clean, tmp_path / "cut", crop=4)
    np.testing.assert_array_equal(read_image(tmp_path / "cut/hq/d.png"), deep[2:6, 3:7])
    assert json.loads((tmp_path / "cut/manifest.jsonl").read_text().splitlines()[-1])["hq_sha256"] == _sha(
        tmp_path / "cut/hq/d.png"
    )
    assert len(list((tmp_path / "cut/hq").iterdir())) == 4
    assert cut[0][1].shape == (3, 4, 4)
    whole = _write(clean, tmp_path / "whole", copy_hq=True)
    np.testing.assert_array_equal(read_image(tmp_path / "whole/hq/d.png"), deep)
    assert torch.equal(whole[0][1], ImageFolder(clean)[0])


def test_a_shrinking_composition(clean, tmp_path):
    lq, hq = _write(clean, tmp_path / "set", _Grain(3), scale=3)[0]
    assert (lq.shape, hq.shape) == ((3, 3, 3), (3, 9, 9))
    assert not (tmp_path / "set/hq").exists()


@pytest.mark.parametrize("crop", [None, 6])
def test_the_bytes_are_the_same_for_any_workers_and_after_interruptions(clean, tmp_path, crop):
    _write(clean, tmp_path / "set", crop=crop)
    expected = _tree(tmp_path / "set")
    threads = torch.get_num_threads()
    for workers in (1, 2) if crop else ():
        _write(clean, tmp_path / f"workers{workers}", crop=crop, workers=workers)
        assert _tree(tmp_path / f"workers{workers}") == expected
    root = tmp_path / "stopped"
    for call, done in ((0, 0), (3, 3), (1, 4)):
        with pytest.raises(KeyboardInterrupt):
            _write(clean, root, _Grain(stop=call), crop=crop)
        tree = _tree(root)
        assert tree["manifest.jsonl"].count(b"\n") == done + 1
        assert all(expected[name] == content for name, content in tree.items() if name != "manifest.jsonl")
        assert expected["manifest.jsonl"].startswith(tree["manifest.jsonl"])
    assert torch.get_num_threads() == threads
    times = {path: path.stat().st_mtime_ns for path in (root / "lq").iterdir()}
    composition = _Grain()
    _write(clean, root, composition, crop=crop)
    assert composition.calls == 2
    assert _tree(root) == expected
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_torn_line_and_what_a_killed_process_left_are_cleared_away(clean, tmp_path):
    root = tmp_path / "set"
    _write(clean, root)
    expected = _tree(root)
    manifest = root / "manifest.jsonl"
    manifest.write_bytes(expected["manifest.jsonl"][:-30])
    (root / "lq" / f".{'0a' * 8}.png").write_bytes(b"half")
    (root / f".{'0b' * 8}.jsonl").write_bytes(b"half")
    (root / "lq" / "c_1.png").unlink()
    composition = _Grain()
    _write(clean, root, composition)
    assert composition.calls == 1
    assert _tree(root) == expected
    before = manifest.stat().st_mtime_ns
    _write(clean, root, _Grain(stop=0))
    assert manifest.stat().st_mtime_ns == before


def test_another_set_is_not_continued(clean, tmp_path):
    root = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        _write(clean, root, _Grain(stop=2))
    expected = _tree(root)
    cases = [
        ({"seed": 3}, "seed was 0, is now 3; go on"),
        ({"variants": 3}, "count was 6, is now 9; variants was 2, is now 3"),
        ({"crop": 5}, "crop was None, is now 5; copy_hq was False, is now True"),
        ({"composition": _Grain(2), "scale": 2}, r"scale was 1, is now 2; composition was '_Grain\(1\)', is now"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=f"set was begun with something else: {message}"):
            _write(clean, root, **options)
    write_image(clean / "b.png", noise(3, 3))
    with pytest.raises(ValueError, match=r"pictures was '.*', is now"):
        _write(clean, root)
    assert {name: content for name, content in _tree(root).items() if name in expected} == expected


def test_addresses_in_a_repr_do_not_count(clean, tmp_path):
    class Plain(_Grain):
        __repr__ = object.__repr__

    first, second = Plain(stop=1), Plain()
    with pytest.raises(KeyboardInterrupt):
        _write(clean, tmp_path / "set", first)
    _write(clean, tmp_path / "set", second)
    assert " at 0x" not in (tmp_path / "set/manifest.jsonl").read_text()


def test_names(tmp_path):
    clean = write_folder(tmp_path / "clean", {"x.y.png": noise(4, 4), "sub/a.png": noise(4, 4)})
    folder = ImageFolder(clean, recursive=True)
    found = _write(folder, tmp_path / "set", variants=1)
    assert [path.name for path in sorted((tmp_path / "set/lq").iterdir())] == ["sub_a_0.png", "x.y_0.png"]
    assert found.files()[1] == clean / "sub" / "a.png"
    with pytest.raises(ValueError, match="lies in the folder that is read"):
        _write(folder, clean / "set")
    for name, message in (("Sub_a.png", "would both be written as"), ("c\\d.png", "not portable; rename")):
        write_image(clean / name, noise(4, 4))
        with pytest.raises(ValueError, match=message):
            _write(ImageFolder(clean, recursive=True), tmp_path / "other")
        os.unlink(clean / name)  # noqa: PTH108


def test_what_is_refused(clean, tmp_path):
    write_folder(tmp_path / "full" / "lq", {"mine.png": noise(4, 4)})
    with pytest.raises(
        ValueError, match=r"full/lq holds files but .*manifest\.jsonl does not exist; take another root"
    ):
        _write(clean, tmp_path / "full")
    with pytest.raises(TypeError, match=r"a_0\.png: a recipe must hold finite JSON values only"):
        _write(clean, tmp_path / "set", lambda x, **_: (x, {"level": torch.zeros(1)}))
    with pytest.raises(TypeError, match=r"a_0\.png: a recipe must hold finite JSON values only"):
        _write(clean, tmp_path / "nan", lambda x, **_: (x, {"level": float("nan")}))
    with pytest.raises(ValueError, match="workers must be at least 0"):
        _write(clean, tmp_path / "set", workers=-1)
    with pytest.raises(ValueError, match=r"a\.png: 9 x 10 pixels are fewer than the 10 x 10 that crop=10 needs"):
        _write(clean, tmp_path / "set", crop=10)
    with pytest.raises(NotADirectoryError, match="nowhere"):
        _write(tmp_path / "nowhere", tmp_path / "set")


def test_a_progress_bar_counts_what_was_done_before(clean, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        _write(clean, tmp_path / "set", _Grain(stop=4))
    assert capsys.readouterr().err == ""
    write_degraded(clean, _Grain(), tmp_path / "set", variants=2)
    assert "6/6" in capsys.readouterr().err
