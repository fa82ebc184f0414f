"""Scores from the command line: those of the function, in its table."""

import json

import pytest
import torch
from picture_files import noise, write_folder

from restorekit.cli import main
from restorekit.data import PairedFolder
from restorekit.evaluation import evaluate
from restorekit.image import read_image, resize
from restorekit.models import carn_m, dncnn, load_checkpoint, save_weights


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    save_weights(carn_m(2, channels=4, blocks=1, units=1), "net.safetensors")
    save_weights(dncnn(3, in_channels=3, channels=4), "denoiser.safetensors")
    write_folder(tmp_path / "hq", {"a.png": noise(32, 40, 3), "b.png": noise(36, 30, 3, seed=1)})
    return tmp_path


def run(*argv, weights="net.safetensors"):
    return main(["evaluate", *map(str, argv), "--weights", weights])


def test_the_table_is_that_of_the_function(here, capsys):
    assert run("hq", "--scale", 2, "--bicubic", "--protocol", "rgb") == 0
    found = evaluate(load_checkpoint("net.safetensors"), "hq", scale=2, protocol="rgb")
    bicubic = evaluate(lambda x: resize(x, 2), "hq", scale=2, protocol="rgb")
    out = capsys.readouterr().out
    assert out.startswith(f"{found}\n")
    assert out.removeprefix(f"{found}\n") == f"bicubic {bicubic.psnr:8.3f} {bicubic.ssim:8.4f}\n"


def test_files_beside_the_table(here, capsys):
    argv = ("hq", "--json", "out.json", "--keep-pictures", "kept", "--self-ensemble", "--quiet")
    assert run(*argv) == 0
    found = evaluate(load_checkpoint("net.safetensors"), "hq", scale=2, self_ensemble=True)
    assert json.loads((here / "out.json").read_text()) == json.loads(found.to_json())
    assert read_image("kept/a.png").shape == (32, 40, 3)
    capsys.readouterr()
    assert run(*argv) == 2
    assert capsys.readouterr().err == "restorekit: error: out.json exists; --overwrite replaces it\n"
    assert run("hq", "--keep-pictures", "kept") == 2
    assert "kept holds files; --overwrite replaces those" in capsys.readouterr().err
    assert run(*argv, "--overwrite") == 0


def test_degraded_pictures_of_equal_size(here, capsys):
    write_folder(here / "lq", {"a.png": noise(32, 40, 3, seed=2), "b.png": noise(36, 30, 3, seed=3)})
    assert run("hq", "--lq", "lq", "--bicubic", weights="denoiser.safetensors") == 0
    pairs = PairedFolder("lq", "hq", scale=1)
    found = evaluate(load_checkpoint("denoiser.safetensors"), pairs, scale=1)
    given = evaluate(lambda x: x, pairs, scale=1)
    assert capsys.readouterr().out == f"{found}\ninput   {given.psnr:8.3f} {given.ssim:8.4f}\n"


def test_what_degrade_writes_is_taken(here, capsys):
    assert main(["degrade", "hq", "-o", "set", "--recipe", "gaussian_noise:25"]) == 0
    assert run("hq", "--lq", "set/lq", weights="denoiser.safetensors") == 0
    assert "degraded from lq" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "weights", "message"),
    [
        (["nowhere"], "net.safetensors", "nowhere does not exist"),
        (["hq", "--protocol", "best"], "net.safetensors", "unknown protocol 'best'; known: sr-y"),
        (
            ["hq"],
            "denoiser.safetensors",
            "the network keeps the size of a picture; give the degraded pictures with --lq",
        ),
        (["hq", "--lq", "nowhere"], "net.safetensors", "nowhere does not exist"),
        (["net.safetensors"], "net.safetensors", "net.safetensors is not a folder"),
        (["hq", "--json", "no/out.json"], "net.safetensors", "the folder no does not exist; make it first"),
    ],
)
def test_wrong_input(here, capsys, argv, weights, message):
    assert run(*argv, weights=weights) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"restorekit: error: {message}")
