"""What the command tells about the installation, the networks and files of weights."""

import hashlib

import pytest
import torch

import restorekit
from restorekit.cli import main
from restorekit.cli.info import _built
from restorekit.metrics import count_multadds, count_parameters
from restorekit.models import carn, carn_m, list_models, save_weights


def told(capsys, *argv):
    assert main(["info", *map(str, argv)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def test_the_installation(capsys):
    out = told(capsys)
    assert out.startswith(f"restorekit {restorekit.__version__}\n")
    assert torch.__version__ in out
    assert [name for name in list_models() if name not in out] == []
    assert "numpy" not in out  # which is no extra


def test_a_network(capsys):
    lines = told(capsys, "carn").splitlines()
    assert lines[:2] == [
        "network    carn, for super-resolution",
        "paper      Ahn, Kang and Sohn, ECCV 2018; thesis Table 2.4.",
    ]
    assert [line.split()[0] for line in lines[2:]] == ["x1", "x2", "x3", "x4", "x8"]
    parameters, radius = count_parameters(carn(4)), carn(4).receptive_radius
    assert (
        lines[5]
        == f"x4         {parameters:,} parameters, 90.9 G MultAdds to 1280 x 720, sees {radius} px to each side"
    )


@pytest.mark.parametrize("name", list_models())
def test_every_network_is_built_at_its_factors_without_memory(name):
    nets = list(_built(name, {}))
    assert nets
    assert all(parameter.is_meta for net in nets for parameter in net.parameters())


def test_networks_that_need_a_word(capsys):
    assert "sees the whole picture" in told(capsys, "rcan", "--option", "blocks=1", "--option", "scale=2")
    assert "--model idr --option degradation=noise runs it" in told(capsys, "idr")
    assert "MultAdds" in told(capsys, "idr", "--option", "degradation=noise")


def test_a_file(tmp_path, capsys):
    path = tmp_path / "net.safetensors"
    model = carn_m((2, 3), channels=4, blocks=1, units=1)
    save_weights(model, path)
    out = told(capsys, path)
    assert f"sha256     {hashlib.sha256(path.read_bytes()).hexdigest()}\n" in out
    assert "network    CARN\n" in out
    assert "scale=(2, 3), channels=4" in out
    for scale in (2, 3):
        work = count_multadds(model, scale=scale) / 1e9
        assert f"x{scale}         {count_parameters(model):,} parameters, {work:.1f} G MultAdds" in out


def test_what_is_neither(tmp_path, capsys):
    assert main(["info", str(tmp_path / "nothing")]) == 2
    assert "is neither a network (carn, " in capsys.readouterr().err
    (tmp_path / "text.pth").write_text("hello")
    assert main(["info", str(tmp_path / "text.pth")]) == 2
    assert capsys.readouterr().out == ""
