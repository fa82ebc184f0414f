"""Folders restored: what `restore` makes of each picture, whole files only, each picture once."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from picture_files import noise, write_folder
from PIL import Image, ImageCms

from restorekit.image import read_image, write_image
from restorekit.inference import FolderResult, restore, restore_folder
from restorekit.inference._folder_plan import own_share
from restorekit.inference._overlap import overlapped
from restorekit.models import Restorer, carn_m

plan_module = importlib.import_module("restorekit.inference._folder_plan")
run_module = importlib.import_module("restorekit.inference._folder_run")
tiled_module = importlib.import_module("restorekit.inference.tiled")


def network(scale=2, **options):
    torch.manual_seed(0)
    return carn_m(scale, channels=8, blocks=1, units=1, **options)


def run(source, destination, net=None, **options):
    return restore_folder(net or network(), source, destination, progress=False, **options)


def tree(root: Path) -> dict[str, bytes]:
    """All files, hidden ones too."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


class Calls:
    """Shapes that a network ran on; dry runs are not counted."""

    def __init__(self, net):
        self.shapes = []
        net.register_forward_pre_hook(self)

    def __call__(self, net, arguments):
        if arguments[0].device.type != "meta":
            self.shapes.append(tuple(arguments[0].shape))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_folder(
        tmp_path / "photos",
        {
            "a.png": noise(7, 9, 3, seed=1),
            "b.jpg": noise(7, 9, 3, seed=2),
            "deep.png": noise(5, 6, 4, dtype=np.uint16, seed=3),
            "sub/grey.tif": noise(8, 8, seed=4),
            "sub/alpha.v2.webp": noise(6, 5, 4, seed=5),
            "sub/far/down.bmp": noise(7, 9, 3, seed=6),
        },
    )


@pytest.mark.parametrize("options", [{}, {"tile": 4}, {"self_ensemble": True, "dtype": torch.bfloat16}])
def test_files_hold_what_restore_makes_of_each_picture(photos, tmp_path, options):
    net, out = network(), tmp_path / "deep" / "out"
    result = run(photos, out, net, **options)
    names = ["a.png", "b.png", "deep.png", "sub/alpha.v2.png", "sub/far/down.png", "sub/grey.png"]
    assert result == FolderResult(tuple(out / name for name in names), (), {})
    assert sorted(tree(out)) == names
    sources = {path.relative_to(photos).with_suffix(".png").as_posix(): path for path in photos.rglob("*.*")}
    for name in names:
        expected = np.asarray(restore(net, sources[name], **options))
        np.testing.assert_array_equal(read_image(out / name), expected)


def test_palettes_turned_pictures_and_profiles_come_out_as_from_restore(tmp_path):
    source, out, net = tmp_path / "in", tmp_path / "out", network()
    source.mkdir()
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.fromarray(noise(5, 8, 3)).save(source / "turned.jpg", exif=exif, icc_profile=profile)
    Image.fromarray(noise(8, 5, 3)).save(source / "upright.jpg")
    Image.fromarray(noise(5, 8, 3)).quantize(16).save(source / "palette.gif")
    run(source, out, net)
    for path in source.iterdir():
        expected = restore(net, path)
        found = read_image(out / f"{path.stem}.png")
        np.testing.assert_array_equal(found, np.asarray(expected.convert("RGB")))
    with Image.open(out / "turned.png") as turned, Image.open(out / "upright.png") as upright:
        assert turned.size == upright.size == (10, 16)
        assert turned.info["icc_profile"] == profile
        assert "icc_profile" not in upright.info


def test_formats(photos, tmp_path):
    kept = run(photos, tmp_path / "kept", suffix=None)
    names = {path.relative_to(tmp_path / "kept").as_posix() for path in kept.restored}
    assert names == {"a.png", "b.png", "deep.png", "sub/alpha.v2.webp", "sub/far/down.bmp", "sub/grey.tif"}
    with Image.open(tmp_path / "kept/sub/alpha.v2.webp") as picture:
        assert (picture.format, picture.size) == ("WEBP", (10, 12))
    np.testing.assert_array_equal(
        read_image(tmp_path / "kept/sub/grey.tif"), np.asarray(restore(network(), photos / "sub/grey.tif"))
    )


def test_a_format_that_cannot_hold_a_picture_is_told_before_it_is_restored(photos, tmp_path):
    net = network()
    seen = Calls(net)
    with pytest.warns(UserWarning, match=r"2 of 6 pictures .*\.jpg cannot hold RGBA16") as caught:
        result = run(photos, tmp_path / "out", net, suffix=".jpg")
    assert "alpha.v2.webp (" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert {path.name for path in result.failed} == {"deep.png", "alpha.v2.webp"}
    assert len(result.restored) == 4
    assert (1, 3, 5, 6) not in seen.shapes


def test_small_pictures_of_one_size_run_together_with_the_result_of_each(tmp_path, monkeypatch):
    pictures = {f"{k:02}.png": noise(6, 7, 3, seed=k) for k in range(7)} | {"05b.png": noise(7, 6, 3)}
    source, net = write_folder(tmp_path / "in", pictures), network()
    each = 6 * 7 * tiled_module.memory_per_pixel(net, 2)
    monkeypatch.setattr(tiled_module, "BATCH_MEMORY", int(3.5 * each))
    seen = Calls(net)
    result = run(source, tmp_path / "out", net)
    assert seen.shapes == [(3, 3, 6, 7), (3, 3, 6, 7), (1, 3, 6, 7), (1, 3, 7, 6)]
    assert [path.name for path in result.restored] == sorted(pictures)
    for name, array in pictures.items():
        np.testing.assert_array_equal(read_image(tmp_path / "out" / name), restore(net, array))


def test_headers_are_read_a_window_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_module, "_WINDOW", 2)
    source, net = write_folder(tmp_path / "in", {f"{k}.png": noise(6, 7, seed=k) for k in range(5)}), network()
    seen = Calls(net)
    assert len(run(source, tmp_path / "out", net).restored) == 5
    assert [shape[0] for shape in seen.shapes] == [2, 2, 1]


def test_one_bad_picture_does_not_spoil_those_that_run_with_it(tmp_path):
    """Its values are not finite: the others of the batch come out all the same."""
    source = write_folder(tmp_path / "in", {f"{k}.png": np.full((6, 7, 3), 10 * k, np.uint8) for k in range(4)})
    net = network()
    bad = 20 / 255

    def spoil(net, arguments, out):
        hit = (arguments[0].mean(dim=(1, 2, 3), keepdim=True) - bad).abs() < 1e-3
        return out.masked_fill(hit, float("nan"))

    net.register_forward_hook(spoil)
    with pytest.warns(UserWarning, match=r"1 of 4 pictures .*2\.png \(.*not finite"):
        result = run(source, tmp_path / "out", net)
    assert [path.name for path in result.restored] == ["0.png", "1.png", "3.png"]
    np.testing.assert_array_equal(read_image(tmp_path / "out/3.png"), restore(net, source / "3.png"))


def test_a_result_too_wide_for_its_format_is_told_before_it_is_restored(tmp_path):
    source = write_folder(tmp_path / "in", {"narrow.webp": noise(1, 9, 3), "wide.webp": noise(1, 8192, 3)})
    net = network()
    seen = Calls(net)
    with pytest.warns(UserWarning, match=r"1 of 2 .*wide\.webp \(.*at most 16,383 pixels a side"):
        run(source, tmp_path / "out", net, suffix=None)
    assert seen.shapes == [(1, 3, 1, 9)]


def test_a_large_picture_goes_by_itself(photos, tmp_path, monkeypatch):
    expected = tmp_path / "expected"
    run(photos, expected)
    monkeypatch.setattr(run_module, "LARGE_PIXELS", 150)  # 7 x 9 pixels enlarged twice are more
    opened = []
    monkeypatch.setattr(
        run_module, "open_picture", lambda path, *limit: opened.append(path.name) or open_picture(path, *limit)
    )
    result = run(photos, tmp_path / "out")
    assert sorted(opened) == ["alpha.v2.webp", "deep.png"]
    assert len(result.restored) == 6
    assert tree(tmp_path / "out").keys() == tree(expected).keys()
    for path in tree(expected):  # written by rows, so that the bytes differ
        assert np.array_equal(read_image(tmp_path / "out" / path), read_image(expected / path))


open_picture = run_module.open_picture


@pytest.mark.parametrize("options", [{"tile": 4}, {"self_ensemble": True, "scale": 3, "dtype": torch.bfloat16}])
def test_large_pictures_get_the_options_too(photos, tmp_path, monkeypatch, options):
    net = network((2, 3)) if "scale" in options else network()
    run(photos, tmp_path / "expected", net, **options)
    monkeypatch.setattr(run_module, "LARGE_PIXELS", 0)
    run(photos, tmp_path / "out", net, **options)
    for path in tree(tmp_path / "expected"):
        assert np.array_equal(read_image(tmp_path / "out" / path), read_image(tmp_path / "expected" / path))


def test_large_pictures_that_fail_are_named_and_leave_nothing(photos, tmp_path, monkeypatch):
    (photos / "a.png").write_bytes((photos / "a.png").read_bytes()[:-30])
    monkeypatch.setattr(run_module, "LARGE_PIXELS", 0)
    with pytest.warns(UserWarning, match="4 of 6 pictures"):
        result = run(photos, tmp_path / "out", suffix=".bmp", max_pixels=63)
    reasons = {path.name: reason for path, reason in result.failed.items()}
    assert reasons.keys() == {"a.png", "deep.png", "alpha.v2.webp", "grey.tif"}
    assert reasons["a.png"].startswith("the file is truncated")
    assert "cannot hold RGBA16" in reasons["deep.png"]
    assert sorted(tree(tmp_path / "out")) == ["b.bmp", "sub/far/down.bmp"]
    with pytest.raises(ValueError, match=r"a\.png: the file is truncated"):
        run(photos, tmp_path / "strict", strict=True)


def test_the_network_is_made_ready_once_for_small_and_large(photos, tmp_path, monkeypatch):
    module = importlib.import_module("restorekit.inference._optimized")
    scales, rewritten = [], module.rewritten

    def counted(model, scale, *arguments, **options):
        scales.append(scale)
        return rewritten(model, scale, *arguments, **options)

    monkeypatch.setattr(module, "rewritten", counted)
    monkeypatch.setattr(run_module, "LARGE_PIXELS", 150)
    run(photos, tmp_path / "out", network((2, 3)), scale=3)
    assert scales == [3]


def test_broken_pictures_are_counted_and_named(photos, tmp_path):
    (photos / "a.png").write_bytes((photos / "a.png").read_bytes()[:-30])
    for k in range(6):
        (photos / f"none{k}.png").write_bytes(b"")
    (photos / "sub" / "page.jpg").write_text("<html>")
    with pytest.warns(UserWarning, match="9 of 13 pictures could not be restored") as caught:
        result = run(photos, tmp_path / "out", max_pixels=63)
    message = str(caught[0].message)
    assert "a.png (the file is damaged" in message
    assert "; and 4 more" in message
    assert set(result.failed) == {
        photos / "a.png",
        *photos.glob("none*"),
        photos / "sub/page.jpg",
        photos / "sub/grey.tif",
    }
    assert "8 x 8 pixels are more than max_pixels=63" in result.failed[photos / "sub/grey.tif"]
    assert [path.name for path in result.restored] == ["b.png", "deep.png", "alpha.v2.png", "down.png"]


def test_strict_stops_at_the_first_broken_picture_and_keeps_what_is_done(photos, tmp_path):
    (photos / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"c\.png: the file is damaged"):
        run(photos, tmp_path / "out", strict=True)
    kept = tree(tmp_path / "out")  # those that were computed with the first, and no others
    assert set(kept) == {"a.png", "b.png", "sub/far/down.png"}
    (photos / "c.png").unlink()
    run(photos, tmp_path / "out")
    assert tree(tmp_path / "out").items() > kept.items()


class Depth(Restorer):
    """Takes what no file holds."""

    receptive_radius = 0

    def __init__(self):
        super().__init__([1], size_multiple=1, in_channels=4, config={})
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, x, scale=None):
        return x * self.weight


def test_pictures_that_the_network_does_not_take_fail(tmp_path):
    source = write_folder(tmp_path / "in", {"a.png": noise(6, 7, 3), "b.png": noise(6, 7)})
    with pytest.warns(UserWarning, match=r"2 of 2 .*Depth takes 4 channels, the picture has 3"):
        result = run(source, tmp_path / "out", Depth())
    assert (result.restored, result.skipped, len(result.failed)) == ((), (), 2)


def test_a_second_call_goes_on(photos, tmp_path):
    out, net = tmp_path / "out", network()
    first = run(photos, out, net)
    whole = tree(out)
    (out / "b.png").unlink()
    (out / "a.png").write_bytes(b"mine")
    seen = Calls(net)
    second = run(photos, out, net)
    assert second.restored == (out / "b.png",)
    assert second.skipped == tuple(path for path in first.restored if path.name != "b.png")
    assert len(seen.shapes) == 1
    assert tree(out) == whole | {"a.png": b"mine"}
    assert run(photos, out, net).restored == ()
    assert run(photos, out, net, existing="overwrite").restored == first.restored
    assert tree(out) == whole
    (out / "a.png").unlink()
    with pytest.raises(FileExistsError, match=r"b\.png exists \(5 such files in all\)"):
        run(photos, out, net, existing="error")
    assert not (out / "a.png").exists()


KILLED = """
import os, signal, sys, torch
from restorekit.inference import restore_folder
from restorekit.models import carn_m
torch.manual_seed(0)
torch.set_num_threads(1)
net, runs = carn_m(2, channels=8, blocks=1, units=1), []
def count(net, arguments):
    runs.append(arguments[0].device.type)
    if runs.count("cpu") == 4:
        os.kill(os.getpid(), signal.SIGKILL)
net.register_forward_pre_hook(count)
restore_folder(net, sys.argv[1], sys.argv[2], progress=False)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_process_leaves_whole_files_and_the_next_one_goes_on(tmp_path):
    source = write_folder(tmp_path / "in", {f"{k}.png": noise(6 + k, 7, 3, seed=k) for k in range(6)})
    out = tmp_path / "out"
    done = subprocess.run([sys.executable, "-c", KILLED, str(source), str(out)], timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL
    there = [path for path in out.iterdir() if not path.name.startswith(".")]
    assert 2 <= len(there) <= 3  # the third may have been on its way
    for path in there:
        np.testing.assert_array_equal(read_image(path), np.asarray(restore(network(), source / path.name)))
    result = run(source, out)
    assert result.skipped == tuple(sorted(there))
    assert [path.name for path in result.restored] == [f"{k}.png" for k in range(len(there), 6)]


def test_what_killed_processes_left_behind_goes_when_it_is_old(photos, tmp_path):
    run(photos, tmp_path / "out")
    (tmp_path / "out/sub/grey.png").unlink()
    old, new, other = (tmp_path / "out/sub" / f".{digit * 16}.png" for digit in "01g")
    for path in (old, new, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    run(photos, tmp_path / "out")
    assert [path.exists() for path in (old, new, other)] == [False, True, True]


def test_ctrl_c_keeps_what_is_written_and_ends_the_threads(tmp_path):
    source = write_folder(tmp_path / "in", {f"{k}.png": noise(6 + k, 7, 3, seed=k) for k in range(6)})
    net, runs, threads = network(), [], threading.active_count()

    def stop(net, arguments):
        runs.append(arguments[0].device.type)
        if runs.count("cpu") == 4:
            raise KeyboardInterrupt

    net.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out", net)
    assert sorted(tree(tmp_path / "out")) == ["0.png", "1.png", "2.png"]
    assert threading.active_count() == threads


@pytest.mark.parametrize(("writer", "large"), [("write_image", 2**26), ("restore_file", 0)])
def test_a_disk_that_takes_nothing_stops_the_run(photos, tmp_path, monkeypatch, writer, large):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_module, "LARGE_PIXELS", large)
    monkeypatch.setattr(run_module, writer, full)
    with pytest.raises(OSError, match="No space left"):
        run(photos, tmp_path / "out")


@pytest.mark.parametrize("workers", [1, 3])
def test_reading_computing_and_writing_overlap_and_are_bounded(workers):
    """Each reader waits until something is computed meanwhile, which would never be in one thread."""
    held, most, lock = 0, 0, threading.Lock()
    computing, writing = threading.Event(), threading.Event()

    def read(item):
        nonlocal held, most
        if item == workers:  # a second round, so the first is computed at the same time
            assert computing.wait(20)
        with lock:
            held += 1
            most = max(most, held)
        return item

    def compute(item):
        computing.set()
        if item == 2 * workers + 2:
            assert writing.wait(20)
        time.sleep(0.001)
        return -item

    def write(item):
        nonlocal held
        writing.set()
        with lock:
            held -= 1
        return item

    items = list(range(6 * workers))
    found = list(overlapped(iter(items), read, compute, write, workers=workers))
    assert sorted(found) == sorted(-item for item in items)
    assert most <= 2 * workers + 1


@given(st.integers(0, 20), st.integers(1, 5))
def test_nothing_is_lost_between_the_threads(count, workers):
    found = list(overlapped(iter(range(count)), str, str.encode, bytes.decode, workers=workers))
    assert sorted(map(int, found)) == list(range(count))


@pytest.mark.parametrize("stage", ["read", "compute", "write"])
def test_an_error_in_any_stage_comes_out(stage):
    def fail(item):
        raise LookupError(stage)

    stages = {name: (fail if name == stage else lambda item: item) for name in ("read", "compute", "write")}
    with pytest.raises(LookupError, match=stage):
        list(overlapped(iter(range(9)), **stages, workers=2))


@given(st.integers(1, 7))
def test_shares_are_disjoint_complete_and_even(world):
    jobs = list(range(20))
    shares = [jobs[rank::size] for rank, size in (own_share((k, world)) for k in range(world))]
    assert sorted(job for part in shares for job in part) == jobs
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_share_of_a_folder(photos, tmp_path):
    parts = [run(photos, tmp_path / "out", share=(k, 2)) for k in range(2)]
    assert [len(part.restored) for part in parts] == [3, 3]
    assert all(part.skipped == () for part in parts)  # what the other did is not counted
    run(photos, tmp_path / "whole")
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert run(write_folder(tmp_path / "one", {"a.png": noise(3, 3)}), tmp_path / "b", share=(1, 2)).restored == ()


def test_the_share_comes_from_torch_or_the_environment(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert own_share(None) == (0, 1)
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="no RANK"):
        own_share(None)
    monkeypatch.setenv("RANK", "2")
    assert own_share(None) == (2, 3)
    assert own_share((0, 1)) == (0, 1)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        assert own_share(None) == (0, 1)
    finally:
        dist.destroy_process_group()


LAUNCHED = """
import json, os, sys, torch
from pathlib import Path
from restorekit.inference import restore_folder
from restorekit.models import carn_m
torch.manual_seed(0)
result = restore_folder(carn_m(2, channels=8, blocks=1, units=1), sys.argv[1], sys.argv[2])
Path(f"{sys.argv[3]}/{os.environ['RANK']}.json").write_text(json.dumps([path.name for path in result.restored]))
"""


def test_two_launched_processes_share_a_folder(tmp_path):
    source = write_folder(tmp_path / "in", {f"{name}.png": noise(6, 7, 3, seed=k) for k, name in enumerate("abcd")})
    (tmp_path / "script.py").write_text(LAUNCHED)
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launcher += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    done = subprocess.run(
        [*launcher, "script.py", "in", "out", "."],
        cwd=tmp_path,
        env=os.environ | {"ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shares = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert shares == [["a.png", "c.png"], ["b.png", "d.png"]]
    assert done.stderr.count(" 0/2 ") == 1  # one bar, not one for each process
    for path in source.iterdir():
        np.testing.assert_array_equal(read_image(tmp_path / "out" / path.name), restore(network(), read_image(path)))
    assert sorted(tree(tmp_path / "out")) == ["a.png", "b.png", "c.png", "d.png"]


KILLED_RANK = KILLED.replace("if runs", "if os.environ.get('RANK') == '1' and runs")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_killed_rank_loses_nothing_that_was_done(tmp_path):
    source = write_folder(tmp_path / "in", {f"{k}.png": noise(6 + k, 7, 3, seed=k) for k in range(10)})
    out, script = tmp_path / "out", tmp_path / "script.py"
    script.write_text(KILLED_RANK)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0"]
    command = [*launcher, str(script), str(source), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode != 0
    assert "Signal 9 (SIGKILL)" in done.stderr
    there = sorted(path for path in out.iterdir() if not path.name.startswith("."))
    assert 2 <= sum(int(path.stem) % 2 for path in there) <= 3  # of the killed one; the third may have been on its way
    result = run(source, out)  # one process takes over
    assert result.skipped == tuple(there)
    assert len(result.skipped) + len(result.restored) == 10
    run(source, tmp_path / "whole")
    for path in sorted((tmp_path / "whole").iterdir()):
        np.testing.assert_array_equal(read_image(out / path.name), read_image(path))


def test_bar_only_when_asked(photos, tmp_path, capsys):
    run(photos, tmp_path / "out")
    assert capsys.readouterr() == ("", "")
    (tmp_path / "out/a.png").unlink()
    restore_folder(network(), photos, tmp_path / "out")
    out, err = capsys.readouterr()
    assert out == ""
    assert "6/6" in err


def test_hidden_files_and_others_are_passed_over(photos, tmp_path):
    write_image(photos / ".thumbnail.png", noise(3, 3))
    (photos / "notes.txt").write_text("no picture")
    assert len(run(photos, tmp_path / "out").restored) == 6


def test_the_network_stays_as_it_was(photos, tmp_path):
    net = network().train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    run(photos, tmp_path / "out", net, dtype=torch.float64)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("place", ["photos", "photos/.", "photos/sub", "photos/new/deep"])
def test_a_destination_inside_the_source_is_refused(photos, tmp_path, place):
    with pytest.raises(ValueError, match=r"is the folder that is read|lies inside .*photos"):
        run(photos, tmp_path / place)
    assert len(tree(photos)) == 6


def test_a_destination_around_the_source(tmp_path):
    inner = write_folder(tmp_path / "in", {"a.png": noise(3, 3)})
    assert run(inner, tmp_path).restored == (tmp_path / "a.png",)
    write_folder(inner, {"in/b.png": noise(3, 3)})
    with pytest.raises(ValueError, match=r"b\.png would lie inside"):
        run(inner, tmp_path)


@pytest.mark.parametrize("other", ["a.jpg", "A.png"])
def test_two_pictures_of_one_name_are_refused(tmp_path, other):
    source = write_folder(tmp_path / "in", {"a.png": noise(3, 3), other: noise(4, 4)})
    if len(list(source.iterdir())) == 1:
        pytest.skip("this file system takes A for a")
    with pytest.raises(ValueError, match=r"would both become .*; rename one"):
        run(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_wrong_folders(photos, tmp_path):
    with pytest.raises(NotADirectoryError, match="missing is not a folder"):
        run(tmp_path / "missing", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no picture"):
        run(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(NotADirectoryError, match=r"a\.png is a file"):
        run(photos / "sub", photos / "a.png")


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"suffix": "png"}, ValueError, "suffix must be None or one of .png"),
        ({"suffix": ".gif"}, ValueError, "suffix must be"),
        ({"existing": "keep"}, ValueError, "existing must be one of skip, overwrite, error"),
        ({"scale": 3}, ValueError, "scale must be"),
        ({"tile": 0}, ValueError, "tile must be"),
        ({"tile": "big"}, ValueError, "tile must be"),
        ({"dtype": torch.int8}, TypeError, "dtype must be"),
        ({"max_pixels": 0}, ValueError, "max_pixels must be"),
        ({"workers": 0}, ValueError, "workers must be"),
        ({"share": (2, 2)}, ValueError, "share must count from 0"),
        ({"share": (0, 0)}, ValueError, r"share\[1\] must be"),
        ({"share": (0, 1, 2)}, ValueError, "share must be None or two"),
    ],
)
def test_wrong_options_are_told_at_once(photos, tmp_path, options, error, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=words):
            run(photos, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_model_must_be_a_restorer(photos, tmp_path):
    with pytest.raises(TypeError, match="model must be a network of restorekit"):
        restore_folder(torch.nn.Identity(), photos, tmp_path / "out")
