"""Which network is run, and what is said where none can be."""

import argparse

import pytest
import torch

from restorekit.cli import networks
from restorekit.cli.networks import DEFAULTS, Default, add_options, open_network, pick_scale
from restorekit.models import CARN, FSRCNN, IDR, carn_m, create_model, dncnn, fsrcnn, idr, list_tasks, save_weights


def options(*argv):
    parser = argparse.ArgumentParser()
    add_options(parser)
    parser.add_argument("--task")
    return parser.parse_args(list(map(str, argv)))


def chosen(*argv):
    return open_network(options(*argv))


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.safetensors"
    save_weights(carn_m((2, 4), channels=4, blocks=1, units=1), path)
    return path


def test_a_file_says_what_it_holds(small):
    net = chosen("--weights", small)
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
    net = chosen("--weights", small)
    assert pick_scale(net, 4) == 4
    with pytest.raises(ValueError, match=r"^the network enlarges 2 or 4 times; say which with --scale$"):
        pick_scale(net, None)
    with pytest.raises(ValueError, match=r"^the network enlarges 2 or 4 times; --scale 3 is none of its factors$"):
        pick_scale(net, 3)
    assert pick_scale(dncnn(3, channels=4), None) == 1
    with pytest.raises(ValueError, match=r"^the network keeps the size of a picture; --scale 3 is none"):
        pick_scale(dncnn(3, channels=4), 3)


def test_without_weights_it_says_what_there_is(monkeypatch):
    monkeypatch.setattr(networks, "DEFAULTS", ())
    with pytest.raises(ValueError, match=r"^no weights for --task denoising --scale 2 come with restorekit .*none yet"):
        chosen("--task", "denoising", "--scale", 2)
    with pytest.raises(
        ValueError, match=r"^no weights for restoring come with .*--weights FILE.*restorekit\.train\.fit"
    ):
        chosen()


def test_weights_that_come_with_the_library_are_chosen(small, tmp_path, monkeypatch):
    denoiser = tmp_path / "denoiser.safetensors"
    save_weights(dncnn(), denoiser)
    twice = tmp_path / "twice.safetensors"
    save_weights(fsrcnn(2), twice)
    table = (
        Default("super-resolution", "fsrcnn", 2, twice),
        Default("denoising", "dncnn", 1, denoiser),
    )
    monkeypatch.setattr(networks, "DEFAULTS", table)
    assert chosen().scales == (2,)
    assert chosen("--task", "denoising").scales == (1,)
    assert chosen("--model", "dncnn").scales == (1,)
    assert chosen("--scale", 2).scales == (2,)
    with pytest.raises(ValueError, match=r"there are: super-resolution x2 \(fsrcnn\); denoising x1 \(dncnn\)"):
        chosen("--scale", 3)


def test_the_table_is_true():
    for row in DEFAULTS:
        assert row.task in list_tasks(row.model)
        options = {"scale": row.scale} if networks.takes_scale(row.model) else {}
        assert row.scale in create_model(row.model, weights=row.weights, **options).scales
