"""Files of a run: complete, refused when damaged or another run's, and never half written."""

import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from restorekit.train.checkpoint import Checkpoints, State
from restorekit.train.ema import Ema


class Trap:
    """Unpickling it would leave a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def _settings(step):
    return {"seed": 3, "batch_size": 4, "next_learning_rate": 0.1 * 0.5**step}


def _state(*, channels=3, ema=True):
    model = nn.Conv2d(3, channels, 1)
    return State(model, torch.optim.Adam(model.parameters()), Ema(model, 0.5) if ema else None, [])


def _trained(steps=2):
    state = _state()
    for _ in range(steps):
        state.model(torch.ones(1, 3, 2, 2)).sum().backward()
        state.optimizer.step()
        state.ema.update(state.model)
        state.losses.append(0.1 * len(state.losses))
    return state


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.pt"


@pytest.fixture
def saved(path):
    state = _trained()
    Checkpoints(path, 1, _settings).save(state)
    return state


def _resume(path, state=None, *, settings=_settings, steps=10):
    state = _state() if state is None else state
    Checkpoints(path, 1, settings).resume(state, steps=steps)
    return state


def _flat(state):
    moments = [value for entry in state.optimizer.state.values() for value in entry.values()]
    return [*state.model.state_dict().values(), *state.ema.model.state_dict().values(), *moments]


def test_everything_comes_back(path, saved):
    state = _resume(path)
    assert state.losses == saved.losses
    assert state.step == 2
    assert len(_flat(state)) == 2 + 2 + 2 * 3
    assert all(torch.equal(one, other) for one, other in zip(_flat(state), _flat(saved), strict=True))


def test_without_a_file_nothing_changes(path):
    assert _resume(path).step == 0


def test_without_a_path_nothing_is_kept():
    nowhere = Checkpoints(None, 1, _settings)
    nowhere.save(_trained())
    assert nowhere.kept() == "no checkpoint was asked for"


def test_kept_says_what_to_do(path):
    checkpoints = Checkpoints(path, 1, _settings)
    assert "was written" in checkpoints.kept()
    checkpoints.save(_trained())
    assert "call fit again" in checkpoints.kept()


def test_another_run_is_named_by_its_differences(path, saved):
    with pytest.raises(ValueError, match=r"another run: seed 3 \(here 4\), batch_size 4 \(here 8\);"):
        _resume(path, settings=lambda step: {**_settings(step), "seed": 4, "batch_size": 8})


def test_the_schedule_is_compared_at_the_saved_step(path, saved):
    with pytest.raises(ValueError, match=r"next_learning_rate 0.025 \(here 0.1\)"):
        _resume(path, settings=lambda step: {**_settings(step), "next_learning_rate": 0.1})


def test_another_model_is_named_by_its_first_difference(path, saved):
    with pytest.raises(ValueError, match=r"weight is \(3, 3, 1, 1\) in the file and \(5, 3, 1, 1\) here"):
        _resume(path, _state(channels=5))


def test_missing_and_surplus_weights_are_named(path):
    state = _trained()
    Checkpoints(path, 1, _settings).save(state)
    without = nn.Conv2d(3, 3, 1, bias=False)
    with pytest.raises(ValueError, match=r"bias is \(3,\) in the file and absent here"):
        _resume(path, State(without, torch.optim.Adam(without.parameters()), None, []))


def test_fewer_steps_than_done_are_refused(path, saved):
    with pytest.raises(ValueError, match="holds 2 steps already, more than steps=1"):
        _resume(path, steps=1)
    assert _resume(path, steps=2).step == 2


def test_a_refused_file_changes_nothing(path, saved):
    state = _state()
    before = [value.clone() for value in state.model.state_dict().values()]
    with pytest.raises(ValueError, match="another run"):
        _resume(path, state, settings=lambda step: {**_settings(step), "seed": 4})
    assert state.losses == []
    assert all(torch.equal(one, other) for one, other in zip(state.model.state_dict().values(), before, strict=True))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.999])
def test_a_file_that_was_cut_short_is_refused(path, saved, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"no whole training checkpoint .* delete it to start anew"):
        _resume(path)


def test_a_single_wrong_bit_in_the_weights_is_refused(path, saved):
    with zipfile.ZipFile(path) as archive:
        entry = next(info for info in archive.infolist() if info.filename.endswith("data/1"))
    whole = bytearray(path.read_bytes())
    start = entry.header_offset + 30
    while whole[start : start + 8] != saved.model.weight.detach().numpy().tobytes()[:8]:
        start += 1
    whole[start] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"the checksum of its part .*data/1 is wrong"):
        _resume(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_file_is_executed(path, zipped):
    trap = path.with_name("sprung")
    if zipped:
        torch.save({"format": 1, "model": Trap(trap)}, path)
    else:
        path.write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(ValueError, match="no whole training checkpoint"):
        _resume(path)
    assert not trap.exists()
    pickle.loads(pickle.dumps(Trap(trap)))
    assert trap.exists()  # the trap works


@pytest.mark.parametrize("content", [[1, 2], {"weight": torch.zeros(1)}, {}])
def test_a_file_with_something_else_in_it_is_refused(path, content):
    torch.save(content, path)
    with pytest.raises(ValueError, match="no training checkpoint of this version"):
        _resume(path)


def test_text_is_refused(path):
    path.write_text("weights to come\n")
    with pytest.raises(ValueError, match="no whole training checkpoint"):
        _resume(path)


def _full(content, file):
    file.write(b"half")
    try:
        raise OSError(28, "No space left on device")
    except OSError:
        raise RuntimeError("unexpected pos 704 vs 598")  # noqa: B904 -- as torch's writer does


def test_a_failed_write_leaves_the_file_before(path, saved, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr(torch, "save", _full)
    message = (
        r"state after 3 steps could not be written to .*run.pt \(No space left on device\); the file before is whole"
    )
    with pytest.raises(OSError, match=message) as told:
        Checkpoints(path, 1, _settings, caller="fit_mdf").save(_trained(3))
    assert told.value.errno == 28
    assert "then call fit_mdf again" in str(told.value)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_failed_first_write_leaves_nothing(path, monkeypatch):
    monkeypatch.setattr(torch, "save", _full)
    with pytest.raises(OSError, match="there was none before"):
        Checkpoints(path, 1, _settings).save(_trained())
    assert list(path.parent.iterdir()) == []


def test_what_is_no_matter_of_the_disk_is_not_taken_for_one(path, saved, monkeypatch):
    def broken(content, file):
        raise RuntimeError("the GPU is gone")

    monkeypatch.setattr(torch, "save", broken)
    with pytest.raises(RuntimeError, match="the GPU is gone"):
        Checkpoints(path, 1, _settings).save(_trained())
    assert [file.name for file in path.parent.iterdir()] == [path.name]


UNWRITTEN = "the state after {} steps could not be written to {} ({}); the file before is whole; see to the disk"


@pytest.mark.parametrize("limit", [1, 900, 3000, 30_000])  # at once, in the header, in the weights, at the end
def test_a_limit_on_the_size_of_files_is_told_wherever_it_strikes(path, saved, limit):
    resource = pytest.importorskip("resource")
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    state = State(nn.Conv2d(9, 90, 3), saved.optimizer, None, [0.5])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as told:
            Checkpoints(path, 1, _settings).save(state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert UNWRITTEN.format(1, path, "File too large") in str(told.value)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


FILLED = """
import sys, torch
from pathlib import Path
from torch import nn
from restorekit.train.checkpoint import Checkpoints, State

path = Path(sys.argv[1])
model = nn.Conv2d(64, 64, 9)  # 1.3 MB: the second file does not fit beside the first one
state = State(model, torch.optim.Adam(model.parameters()), None, [0.5])
checkpoints = Checkpoints(path, 1, lambda step: {})
checkpoints.save(state)
before = path.read_bytes()
try:
    checkpoints.save(state)
except OSError as error:
    print(error)
assert path.read_bytes() == before
assert list(path.parent.iterdir()) == [path]
"""


def test_a_full_disk_is_told(path):
    mount = f'mount -t tmpfs -o size=2m tmpfs {path.parent} && exec "$0" "$@"'
    alone = ["unshare", "-m", "sh", "-c", mount]  # the mount ends with the process
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    command = [*alone, sys.executable, "-c", FILLED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert UNWRITTEN.format(1, path, "No space left on device") in done.stdout


def test_the_folder_must_exist(path):
    with pytest.raises(FileNotFoundError, match="folder that exists"):
        Checkpoints(path.parent / "absent" / "run.pt", 1, _settings)
    with pytest.raises(FileNotFoundError, match="must name a file"):
        Checkpoints(path.parent, 1, _settings)


@pytest.mark.parametrize("every", [0, -1])
def test_the_interval_must_be_positive(path, every):
    with pytest.raises(ValueError, match="checkpoint_every must be at least 1"):
        Checkpoints(path, every, _settings)
