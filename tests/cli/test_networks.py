"""Which network is run, and what is said where none can be."""

import argparse

import pytest
import torch

from restorekit.cli.networks import add_options, open_network, pick_scale
from restorekit.models import CARN, FSRCNN, IDR, carn_m, dncnn, fsrcnn, idr, load_default, save_weights


def options(*argv):
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser.parse_args(list(map(str, argv)))


def chosen(*argv):
    return open_network(options(*argv))[0]


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.safetensors"
    save_weights(carn_m((2, 4), channels=4, blocks=1, units=1), path)
    return path


def test_a_file_says_what_it_holds(small):
    net = chosen("--weights", small, "--scale", 2)
    assert isinstance(net, CARN)
    assert net.scales == (2, 4)
    assert not net.training


def test_a_bare_state_dict_needs_a_name(tmp_path):
    model = fsrcnn(3)
    path = tmp_path / "bare.pth"
    torch.save(model.state_dict(), path)
    with pytest.raises(ValueError, match=r"\(on the command line: --model NAME, with --scale where it enlarges\)"):
        chosen("--weights", path)
    net = chosen("--weights", path, "--model", "fsrcnn", "--scale", 3)
    assert isinstance(net, FSRCNN)
    assert net.scale == 3
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in model.state_dict().items())


def test_options_of_a_named_network(tmp_path):
    path = tmp_path / "bare.pth"
    torch.save(carn_m(2, channels=8, blocks=1, units=1).state_dict(), path)
    named = ("--weights", path, "--model", "carn_m", "--scale", 2)
    with pytest.raises(ValueError, match=r"does not fit CARN"):
        chosen(*named)
    sizes = ("--option", "channels=8", "--option", "blocks=1", "--option", "units=1")
    assert chosen(*named, *sizes).config["channels"] == 8
    with pytest.raises(TypeError, match="width"):
        chosen(*named, "--option", "width=8")
    with pytest.raises(ValueError, match=r"--option is for a network that --model names and --weights fills"):
        chosen("--weights", path, "--option", "channels=8")


def test_idr_is_told_its_degradation(tmp_path):
    path = tmp_path / "idr.safetensors"
    sizes = {"channels": 8, "blocks": (1, 1, 1, 1), "heads": (1, 1, 1, 1), "refinement_blocks": 1, "hub_size": 4}
    save_weights(idr(**sizes), path)
    words = [f"--option={name}={str(value).strip('()').replace(' ', '')}" for name, value in sizes.items()]
    with pytest.raises(ValueError, match=r"must be told the degradation, such as --model idr --option"):
        chosen("--weights", path)
    net = chosen("--weights", path, "--model", "idr", *words, "--option", "degradation=rain")
    assert isinstance(net, IDR)
    assert net.config["degradation"] == "rain"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model", "crane"], r"--model must be one of carn, .*, got crane$"),
        (["--task", "dancing"], r"--task must be one of deblurring, .*, got dancing$"),
        (["--task", "denoising"], r"--task picks among the weights that come with the library"),
        (["--model", "carn_m", "--scale", "2"], r"\(on the command line: leave --model out\)$"),
        (["--model", "dncnn", "--scale", "2"], r"^dncnn keeps the size of a picture; leave --scale 2 out$"),
        (["--model", "edsr", "--scale", "2"], r"does not fit|holds"),
    ],
)
def test_what_does_not_fit(small, argv, message):
    with pytest.raises(ValueError, match=message):
        chosen("--weights", small, *argv)


def test_files_that_hold_no_weights(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.pth is "):
        chosen("--weights", tmp_path / "text.pth")
    with pytest.raises(ValueError, match="nowhere does not exist"):
        chosen("--weights", "nowhere")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(tmp_path, bad):
    model = dncnn(3, channels=4)
    with torch.no_grad():
        model.state_dict()[key := sorted(model.state_dict())[0]].view(-1)[0] = bad
    save_weights(model, tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match=rf"bad\.safetensors: {key} holds values that are no finite numbers"):
        chosen("--weights", tmp_path / "bad.safetensors")


def test_a_scale_is_picked_among_those_there_are(small):
    net, scale = open_network(options("--weights", small, "--scale", 4))
    assert scale == 4
    with pytest.raises(ValueError, match=r"say which with --scale$"):
        chosen("--weights", small)
    with pytest.raises(ValueError, match=r"^the network enlarges 2 or 4 times; say which with --scale$"):
        pick_scale(net, None)
    with pytest.raises(ValueError, match=r"^the network enlarges 2 or 4 times; --scale 3 is none of its factors$"):
        pick_scale(net, 3)
    assert pick_scale(dncnn(3, channels=4), None) == 1
    with pytest.raises(ValueError, match=r"^the network keeps the size of a picture; --scale 3 is none"):
        pick_scale(dncnn(3, channels=4), 3)


@pytest.mark.parametrize(
    ("argv", "task", "model", "scale"),
    [
        ([], "super-resolution", None, 2),
        (["--scale", 4], "super-resolution", None, 4),
        (["--task", "denoising", "--scale", 1], "denoising", None, 1),
        (["--model", "mepsnet"], "mixed-distortions", None, 1),
        (["--model", "carn_m"], "super-resolution", "carn_m", 2),
        (["--model", "sparse_resnet"], "super-resolution", "sparse_resnet", 2),
        (["--task", "denoising"], "denoising", None, 1),
        (["--task", "jpeg-artifact-removal", "--scale", 1], "jpeg-artifact-removal", None, 1),
        (["--task", "mixed-distortions", "--model", "mepsnet"], "mixed-distortions", None, 1),
    ],
)
def test_weights_that_come_with_the_library_are_chosen(argv, task, model, scale):
    net, factor = open_network(options(*argv))
    expected = load_default(task, model=model)
    assert factor == scale
    assert net.config == expected.config
    assert all(torch.equal(value, expected.state_dict()[key]) for key, value in net.state_dict().items())
    assert not net.training


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--task", "deraining"], "no weights for deraining come"),
        (["--scale", 8], "no weights for super-resolution by 8 come"),
        (["--model", "rcan"], "no weights for any task with rcan come"),
        (["--task", "denoising", "--scale", 2], "no weights for denoising by 2 come"),
    ],
)
def test_without_weights_it_says_what_there_is(argv, told):
    with pytest.raises(ValueError, match=rf"^{told} with the library; there are .*carn_m .*train\.fit.*--weights FILE"):
        chosen(*argv)


def test_shipped_weights_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert chosen("--weights", "edsr_jpeg").config == load_default("jpeg-artifact-removal").config
    assert open_network(options("--weights", "sparse_resnet_dense"))[1] == 2
    with pytest.raises(ValueError, match="edsr_jpg does not exist"):
        chosen("--weights", "edsr_jpg")
