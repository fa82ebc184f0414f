"""The cheap benchmarks run through with small pictures, and name what they measured. No time is judged."""

import contextlib
import copy
import importlib
import importlib.util
import re
import sys

import degrade
import floor
import growth
import jpeg
import memory
import metrics
import plain_runtimes
import plain_ssim
import published_carn
import pytest
import resize
import torch
from harness import Options

import restorekit.inference
from restorekit.metrics import ssim
from restorekit.models import carn, carn_m


@pytest.fixture
def once(monkeypatch):
    """Quick, and each way no more than it takes to be called."""
    return Options(quick=True, threads=torch.get_num_threads())


@pytest.mark.parametrize("script", [degrade, floor, jpeg, resize], ids=lambda script: script.__name__)
def test_cheap_scripts_measure(script, once):
    found = script.measure(once)
    assert all(one.title and one.ways for one in found)
    names = {way.name for one in found for way in one.ways}
    assert any(name.startswith("restorekit") for name in names) or script is floor
    keys = [(one.table, one.title) for one in found]
    assert len(set(keys)) == len(keys)


def test_peers_stand_beside_ours_in_metrics(once):
    found = metrics.measure(once)
    (forward,) = [one for one in found if one.table == "ssim" and "gradient" not in one.title]
    assert {"restorekit ssim", "scikit-image"} <= {way.name for way in forward.ways}
    assert forward.ways[0].floor is not None


@pytest.mark.parametrize("factory", [carn, carn_m])
def test_the_transcription_is_the_network(factory):
    model = factory(scale=4).eval()
    x = torch.rand(1, 3, 9, 7)
    with torch.no_grad():
        assert torch.allclose(published_carn.published(model)(x), model(x), atol=1e-5)


def test_the_transcription_of_dense_windows_is_ssim():
    target = torch.rand(2, 3, 20, 17)
    prediction = 0.7 * target + 0.1
    expected = ssim(prediction, target)
    assert torch.allclose(plain_ssim.dense_window_ssim(prediction, target), expected, atol=1e-5)


def optimized(model, *, dtype=None, compile=False, backend="torch"):
    """Stands in for ``inference.optimize``."""
    if backend != "torch":
        raise ImportError(f"no {backend}")
    network = copy.deepcopy(model).to(dtype or torch.float32)
    return lambda x, scale=None: network(x.to(dtype or torch.float32), scale=scale).float()


@pytest.fixture
def with_optimize(monkeypatch):
    monkeypatch.setattr(restorekit.inference, "optimize", optimized, raising=False)


def test_networks_are_measured_beside_their_floors(with_optimize, once):
    networks = importlib.import_module("networks")
    for name, found in zip(("fsrcnn", "srcnn"), networks.measure(once, ["fsrcnn", "srcnn"]), strict=True):
        assert found.title.startswith(f"{name}, ")
        assert all(way.floor.seconds > 0 for way in found.ways)
        assert found.note.startswith("off by 0e+00 in float32")


def test_inference_leaves_out_what_cannot_run_and_refuses_what_differs(with_optimize, once, monkeypatch):
    inference = importlib.import_module("inference")
    x = inference.picture(once)
    model = inference.network("carn_m", once)
    builders = {
        "plain, float32": lambda: model,
        "restorekit, OpenVINO": lambda: optimized(model, backend="openvino"),
        "restorekit, bfloat16": lambda: optimized(model, dtype=torch.bfloat16),
    }
    with torch.no_grad():
        assert list(inference.build(builders, x, once)) == ["plain, float32", "restorekit, bfloat16"]
        builders["plain, elsewhere"] = lambda: lambda x: model(x) + 1
        assert "plain, elsewhere" not in inference.build(builders, x, once)
        builders["restorekit, wrong"] = lambda: lambda x: model(x) + 1
        with pytest.raises(SystemExit, match="restorekit, wrong differs from the plain network"):
            inference.build(builders, x, once)
    assert once.notes[0] == "restorekit, OpenVINO is left out: ImportError: no openvino"
    assert re.fullmatch("plain, elsewhere differs from the plain network by .* and is left out", once.notes[1])
    assert len(once.notes) == 2


def test_memory_says_what_a_process_took(once, monkeypatch):
    monkeypatch.setattr(memory, "fresh", lambda call, *arguments, threads: call(*arguments))
    (found,) = memory.measure(once)
    assert [way.name for way in found.ways] == ["plain, whole picture", "restorekit, one piece", "restorekit, tiles"]
    assert all(way.median > 50 for way in found.ways)


def test_growth_is_the_slope_on_logarithmic_axes():
    assert growth.slope([(1, 2), (10, 20), (100, 200)]) == pytest.approx(1)
    assert growth.slope([(1, 3), (2, 12), (4, 48)]) == pytest.approx(2)


def test_growth_makes_a_row_for_each_size(once, monkeypatch):
    monkeypatch.setattr(growth, "cost", lambda options, threads, scale, shape: growth.Cost(shape[0] / threads, 1, 2))
    found = growth.measure(once)
    by_time = [one for one in found if one.table == growth.TIME]
    assert [one.at for one in by_time] == [0.01, 0.03]
    assert {way.name for one in by_time for way in one.ways} == {"1 thread", "2 threads"}
    assert {one.table for one in found} == {
        growth.TIME, growth.MEMORY, "Time by batch", "Peak memory by batch", "Time a megapixel, by scale",
        "Peak memory by scale",
    }  # fmt: skip


def test_a_point_of_growth_runs(once):
    assert growth.size(0.3) == (474, 633, 3)
    for shape in ((12, 16, 3), (2, 8, 8, 3)):
        found = growth.point(once, 2, shape)
        assert found.peak >= found.before > 0
        assert found.seconds > 0


def test_the_plain_network_in_openvino_reports_to_nobody(once, monkeypatch):
    """The package imports its telemetry, which sends a message at the import, if it can be found."""
    reported = []
    for name in [name for name in sys.modules if name.partition(".")[0] in ("openvino", "openvino_telemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "openvino", None)  # so that what is imported below goes at the end
    del sys.modules["openvino"]

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            known = name in ("openvino", "openvino_telemetry")
            return importlib.util.spec_from_loader(name, Loader()) if known else None

    class Loader:
        @staticmethod
        def create_module(spec):
            return None

        @staticmethod
        def exec_module(module):
            if module.__name__ == "openvino_telemetry":
                reported.append("an import")
                return
            with contextlib.suppress(ImportError):
                importlib.import_module("openvino_telemetry")
            module.Core = Core

    class Core:
        def compile_model(self, path, device, settings):
            assert settings == {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": once.threads}
            return lambda pictures: [pictures + 1]

    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    monkeypatch.setattr(plain_runtimes, "write_onnx", lambda *arguments: None)
    run = plain_runtimes.openvino(torch.nn.Identity(), torch.zeros(1), once, precision="bf16")
    assert reported == []
    assert run(torch.zeros(1)).item() == 1
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
