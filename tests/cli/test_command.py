"""The command as a whole: exit codes, one-line errors, pipes, Ctrl-C, and nothing slow before it is needed."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from picture_files import noise, write_folder

import restorekit
from restorekit.cli import main
from restorekit.cli._console import value
from restorekit.models import carn_m, dncnn, save_weights

COMMAND = [sys.executable, "-m", "restorekit"]


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
        (["restore", ""], "argument IN: expected a path, got no text"),
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


@pytest.mark.parametrize(
    ("text", "meant"),
    [("3", 3), ("-1.5", -1.5), ("1e-2", 0.01), ("25/255", 25 / 255), ("true", True), ("none", None), ("4:2:0", "4:2:0"),
     ("nan", "nan"), ("inf", "inf"), ("1/0", "1/0"), ("1_0", "1_0")],
)  # fmt: skip
def test_values_are_read_strictly(text, meant):
    assert value(text) == meant
    assert type(value(text)) is type(meant)


@pytest.mark.parametrize("command", [[], ["restore"], ["evaluate"], ["degrade"], ["info"]])
def test_the_help_fits_a_narrow_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert main([*command, "--help"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 60] == []


@pytest.mark.parametrize(("stream", "argv", "code"), [("stdout", ["--version"], 0), ("stderr", ["restor"], 2)])
def test_a_closed_stream_is_no_error(stream, argv, code, monkeypatch):
    monkeypatch.setattr(sys, stream, None)  # as Python starts after ">&-"
    assert main(argv) == code
    getattr(sys, stream).close()


def test_help_waits_for_nothing_slow(tmp_path):
    script = "import json, sys, restorekit.cli as c; c.main(['--help']); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
    assert {"torch", "numpy", "PIL"} & set(json.loads(done.stdout.splitlines()[-1])) == set()


def test_the_module_is_the_command(tmp_path):
    done = _shell("restorekit restor", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("restorekit: error: argument COMMAND: invalid choice: 'restor'")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    done = _shell("restorekit --help | true; echo ${PIPESTATUS[0]}", tmp_path)
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full")
def test_results_that_cannot_be_written_are_an_error(tmp_path):
    done = _shell("restorekit --help > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (2, "restorekit: error: No space left on device\n")


@pytest.mark.parametrize("name", ["README.md", "docs/index.md", "docs/tutorials/command_line.md"])
def test_the_commands_of_the_pages_work(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    network = carn_m(2, channels=16, blocks=1)
    save_weights(network, "carn_m_x2.safetensors")
    torch.save(network.state_dict(), "bare.pth")
    save_weights(dncnn(3, in_channels=3, channels=4), "denoiser.safetensors")
    write_folder(tmp_path, {name: noise(24, 32, 3) for name in ("photo.png", "photo.jpg", "photos/a.png")})
    before = set(tmp_path.rglob("*"))
    page = (Path(__file__).parents[2] / name).read_text(encoding="utf-8")
    commands = [line for line in page.splitlines() if line.startswith("restorekit ")]
    assert sum(line.startswith("restorekit restore ") for line in commands) >= 2
    assert {line: main(shlex.split(line, comments=True)[1:]) for line in commands} == dict.fromkeys(commands, 0)
    assert capsys.readouterr().err == ""
    assert len(set(tmp_path.rglob("*.png")) - before) >= 2


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A folder to work in, with a network and pictures, where Ctrl-C acts."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_weights(carn_m(2, channels=4, blocks=1, units=1), "net.safetensors")
    write_folder(tmp_path / "in", {f"{k}.png": noise(20 + k, 20, 3, seed=k) for k in range(9)})
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # deaf, if a shell started the tests with "&"
    yield tmp_path
    signal.signal(signal.SIGINT, before)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("argv", "when"),
    [
        (["restore", "in/8.png", "-o", "out/8.png", "--weights", "net.safetensors", "--tile", "8"], 0),
        (["restore", "in", "-o", "out", "--weights", "net.safetensors"], 2),
        (["degrade", "in", "-o", "out", "--recipe", "gaussian_noise:25"], 2),
    ],
)
def test_ctrl_c_leaves_nothing_half_written_and_the_command_goes_on(many, capsys, monkeypatch, argv, when):
    (many / "out").mkdir()
    replace, count = Path.replace, iter(range(100))

    def interrupted(beside, target):  # the moment when a file is there, but not yet in its place
        if next(count) == when:
            signal.raise_signal(signal.SIGINT)
        return replace(beside, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", interrupted)
        assert main(argv) == 130
    assert capsys.readouterr() == ("", "restorekit: stopped; no file was left half-written\n")
    begun = _contents(many / "out")
    assert [name for name in begun if "/." in f"/{name}"] == []
    assert main(argv) == 0
    complete = _contents(many / "out")
    assert begun.keys() < complete.keys()
    assert all(complete[name].startswith(content) for name, content in begun.items())
    (many / "out").rename("first")
    (many / "out").mkdir()
    assert main(argv) == 0
    assert _contents(many / "out") == complete
