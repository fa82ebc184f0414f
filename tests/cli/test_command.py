"""The command as a whole: exit codes, one-line errors, pipes, Ctrl-C, and nothing slow before it is needed."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from picture_files import noise, write_folder

import restorekit
from restorekit.cli import main
from restorekit.cli._console import value
from restorekit.models import carn_m, dncnn, save_weights

COMMAND = [sys.executable, "-m", "restorekit"]
# A shell starts what it puts into the background deaf to Ctrl-C, and so are its children, such as these tests.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from restorekit.cli import main
sys.exit(main())
"""


def _shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command.replace("restorekit", " ".join(COMMAND), 1)],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_the_version_and_the_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"restorekit {restorekit.__version__}\n"
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert [name for name in ("restore", "evaluate", "degrade", "info", "130 stopped") if name not in out] == []


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: COMMAND; see restorekit --help"),
        (["restor"], "argument COMMAND: invalid choice: 'restor'"),
        (["restore"], "the following arguments are required: IN; see restorekit restore --help"),
        (["restore", "a.png", "--over"], "unrecognized arguments: --over"),
        (["restore", "a.png", "--tile", "0"], "argument --tile: expected a whole number from 1, got '0'"),
        (["restore", "a.png", "--scale", "x"], "argument --scale: expected a whole number from 1, got 'x'"),
        (["restore", "a.png", "--option", "x"], "argument --option: expected NAME=VALUE, got 'x'"),
        (["restore", "nowhere.png"], "nowhere.png does not exist"),
    ],
)
def test_wrong_use_is_one_line(argv, message, capsys):
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith(f"restorekit: error: {message}")


def test_an_error_of_several_lines_is_told_in_one(capsys, monkeypatch):
    monkeypatch.setattr(restorekit.models, "list_models", lambda *_: (_ for _ in ()).throw(ValueError("a\n  b\n\nc")))
    assert main(["info", "carn"]) == 2
    assert capsys.readouterr().err == "restorekit: error: a b c\n"


def test_an_error_without_words_is_told_by_its_name(capsys, monkeypatch):
    monkeypatch.setattr(restorekit.models, "list_models", lambda *_: (_ for _ in ()).throw(MemoryError))
    assert main(["info", "carn"]) == 2
    assert capsys.readouterr().err == "restorekit: error: MemoryError\n"


def test_a_bug_shows_its_traceback(monkeypatch):
    monkeypatch.setattr(restorekit.models, "list_models", lambda *_: (_ for _ in ()).throw(KeyError("bug")))
    with pytest.raises(KeyError):
        main(["info", "carn"])


def test_ctrl_c_is_told_apart(capsys, monkeypatch):
    monkeypatch.setattr(restorekit.models, "list_models", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(["info", "carn"]) == 130
    assert capsys.readouterr().err == "restorekit: stopped; no file was left half-written\n"


@pytest.mark.parametrize(
    ("text", "meant"),
    [("3", 3), ("-1.5", -1.5), ("1e-2", 0.01), ("25/255", 25 / 255), ("true", True), ("none", None), ("4:2:0", "4:2:0"),
     ("nan", "nan"), ("inf", "inf"), ("1/0", "1/0"), ("1_0", "1_0")],
)  # fmt: skip
def test_values_are_read_strictly(text, meant):
    assert value(text) == meant
    assert type(value(text)) is type(meant)


def test_help_waits_for_nothing_slow(tmp_path):
    script = "import json, sys, restorekit.cli as c; c.main(['--help']); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
    assert {"torch", "numpy", "PIL"} & set(json.loads(done.stdout.splitlines()[-1])) == set()


def test_the_module_is_the_command(tmp_path):
    done = _shell("restorekit info nothing-like-it", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("restorekit: error: nothing-like-it is neither a network (carn, ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    done = _shell("restorekit --help | true; echo ${PIPESTATUS[0]}", tmp_path)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full")
def test_results_that_cannot_be_written_are_an_error(tmp_path):
    done = _shell("restorekit --help > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (2, "restorekit: error: No space left on device\n")


def test_the_commands_of_the_tutorial_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    network = carn_m(2, channels=16, blocks=1)
    save_weights(network, "carn_m_x2.safetensors")
    torch.save(network.state_dict(), "bare.pth")
    save_weights(dncnn(3, in_channels=3, channels=4), "denoiser.safetensors")
    write_folder(tmp_path, {"photo.png": noise(24, 32, 3), "photos/a.png": noise(30, 24, 3)})
    page = (Path(__file__).parents[2] / "docs" / "tutorials" / "command_line.md").read_text(encoding="utf-8")
    commands = [line for line in page.splitlines() if line.startswith("restorekit ")]
    assert {line.split()[1] for line in commands} == {"restore", "evaluate", "degrade", "info"}
    assert {line: main(shlex.split(line)[1:]) for line in commands} == dict.fromkeys(commands, 0)
    assert capsys.readouterr().err == ""
    assert (tmp_path / "photo_x2.png").is_file()


def _interrupted(argv: list[str], begun: Path, folder: Path) -> tuple[int, str]:
    """Exit code and stderr of a command that gets Ctrl-C when a first file shows in the folder ``begun``."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *argv],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 200
    while not (begun.is_dir() and any(begun.iterdir())) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=200)
    return process.returncode, error


def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    torch.manual_seed(0)
    save_weights(carn_m(2, channels=16, blocks=1, units=1), tmp_path / "net.safetensors")
    write_folder(tmp_path, {"big.png": noise(600, 600, 3)})
    (tmp_path / "out").mkdir()
    code, error = _interrupted(
        ["restore", "big.png", "-o", "out/big.png", "--weights", "net.safetensors", "--tile", "8", "--self-ensemble"],
        tmp_path / "out",
        tmp_path,
    )
    assert (code, error) == (130, "restorekit: stopped; no file was left half-written\n")
    assert list((tmp_path / "out").iterdir()) == []
