import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import restorekit
from restorekit.models import carn_m, export_onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


def network(scale=2, **options):
    torch.manual_seed(0)
    return carn_m(scale, channels=4, blocks=1, units=1, **options)


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def run(path, x):
    return torch.from_numpy(session(path).run(["restored"], {"x": x.numpy()})[0])


def test_takes_any_number_and_size_and_names_them(tmp_path):
    net = network()
    export_onnx(net, tmp_path / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    onnx.checker.check_model(tmp_path / "net.onnx", full_check=True)
    (given,), (out,) = session(tmp_path / "net.onnx").get_inputs(), session(tmp_path / "net.onnx").get_outputs()
    assert (given.name, given.shape) == ("x", ["batch", 3, "height", "width"])
    assert (out.name, out.shape[1]) == ("restored", 3)
    for shape in ((1, 3, 1, 1), (3, 3, 7, 20), (1, 3, 31, 2)):
        x = torch.rand(shape)
        torch.testing.assert_close(run(tmp_path / "net.onnx", x), net(x).detach(), rtol=0, atol=1e-6)


def test_scale_picks_the_head(tmp_path):
    net, x = network((2, 3)), torch.rand(1, 3, 5, 4)
    export_onnx(net, tmp_path / "net.onnx", scale=3)
    torch.testing.assert_close(run(tmp_path / "net.onnx", x), net(x, scale=3).detach(), rtol=0, atol=1e-6)
    for scale in (None, 4):
        with pytest.raises(ValueError, match="scale must be one of the network's scales"):
            export_onnx(net, tmp_path / "other.onnx", scale=scale)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_half_precision_stays_half_precision(tmp_path):
    export_onnx(network().half(), tmp_path / "net.onnx")
    assert session(tmp_path / "net.onnx").get_inputs()[0].type == "tensor(float16)"


def test_the_network_is_left_as_it_is(tmp_path):
    net = network().train()
    net.exit.eval()
    before = [module.training for module in net.modules()]
    places = [tensor.data_ptr() for tensor in net.state_dict().values()]
    export_onnx(net, tmp_path / "net.onnx")
    assert [module.training for module in net.modules()] == before
    assert [tensor.data_ptr() for tensor in net.state_dict().values()] == places


def test_the_file_says_nothing_about_the_machine(tmp_path):
    export_onnx(network(head="desubpixel"), tmp_path / "net.onnx")
    content = (tmp_path / "net.onnx").read_bytes()
    for trace in (str(Path(restorekit.__file__).parent), str(Path(torch.__file__).parent), str(tmp_path), ".py"):
        assert trace.encode() not in content


# Nothing half-written remains


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("no such operator")

    (tmp_path / "net.onnx").write_bytes(b"old")
    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(RuntimeError, match="no such operator"):
        export_onnx(network(), tmp_path / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    assert (tmp_path / "net.onnx").read_bytes() == b"old"


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def fail(self, path, **options):
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch.onnx.ONNXProgram, "save", fail)
    with pytest.raises(OSError, match="no space left"):
        export_onnx(network(), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        export_onnx(network(), tmp_path / "none" / "net.onnx")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        export_onnx(network(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"restorekit\[onnx\]"):
        export_onnx(network(), tmp_path / "net.onnx")


@pytest.mark.parametrize("model", [None, nn.Conv2d(3, 3, 3), lambda x: x])
def test_model_must_be_a_restorer(tmp_path, model):
    with pytest.raises(TypeError, match="model must be a network of restorekit"):
        export_onnx(model, tmp_path / "net.onnx")
