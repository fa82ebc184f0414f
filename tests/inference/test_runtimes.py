import importlib.util
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from restorekit.inference._runtimes import runtime

pytest.importorskip("onnxscript")
BACKENDS = ("onnxruntime", "openvino")
CHOICES = [("onnxruntime", torch.float32), ("openvino", torch.float32), ("openvino", torch.bfloat16)]


class Enlarging(nn.Module):
    """Folds pictures of even sides, passes them through two convolutions around a skip, enlarges them by 2."""

    def __init__(self, fold=2):
        super().__init__()
        self.fold = fold
        self.entry = nn.Conv2d(3 * fold**2, 8, 3, padding=1)
        self.body = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.exit = nn.Conv2d(8, 3 * (2 * fold) ** 2, 3, padding=1)

    def forward(self, x):
        entry = self.entry(F.pixel_unshuffle(x, self.fold))
        return F.pixel_shuffle(self.exit(entry + self.body(entry).relu()), 2 * self.fold)


class Fading(nn.Module):
    """Result of the size of the picture, with fewer channels: nothing here is special to enlarging."""

    def forward(self, x):
        return (x * 0.5).mean(dim=1, keepdim=True)


def network(fold=1):
    torch.manual_seed(0)
    return Enlarging(fold).eval().requires_grad_(False)


def needs(package):
    """Skip without the package; it is not imported, since openvino reports every import but the library's own."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@cache
def started(backend, dtype=torch.float32, fold=1):
    needs(backend)
    return runtime(network(fold), backend=backend, in_channels=3, multiple=fold, dtype=dtype)


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def assert_equal(out, expected):
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)


each = pytest.mark.parametrize("backend", BACKENDS)
SIZES = [(1, 3, 1, 1), (3, 3, 7, 20), (1, 3, 31, 2), (2, 3, 12, 9), (1, 3, 7, 20)]


@each
@pytest.mark.parametrize("fold", [1, 3])
def test_equals_torch_at_any_number_and_size_in_turn(backend, fold):
    run, net = started(backend, fold=fold), network(fold)
    for batch, channels, height, width in SIZES + SIZES[::-1]:
        x = noise(batch, channels, fold * height, fold * width, seed=height)
        assert_equal(run(x), net(x))


@each
def test_pictures_of_any_layout_with_or_without_graph_are_left_as_they_are(backend):
    run, net, whole = started(backend), network(), noise(1, 3, 16, 16)
    for x in (
        whole[..., 3:9, 5:12],
        whole.contiguous(memory_format=torch.channels_last),
        whole.mT,
        whole[:, :1].expand(-1, 3, -1, -1),
        whole.clone().requires_grad_(),
    ):
        before = x.clone()
        out = run(x)
        assert not out.requires_grad
        assert_equal(out, net(x.detach()))
        assert torch.equal(x, before)
    with torch.inference_mode():
        assert_equal(run(noise(1, 3, 4, 4)), net(noise(1, 3, 4, 4)))


@pytest.mark.parametrize(("backend", "dtype"), CHOICES)
def test_a_result_stays_when_others_follow_and_may_be_written_to(backend, dtype):
    run = started(backend, dtype)
    first = run(noise(1, 3, 9, 9, seed=1))
    kept = first.clone()
    others = [run(noise(1, 3, 9, 9, seed=seed)) for seed in range(2, 6)]
    assert torch.equal(first, kept)
    assert len({out.data_ptr() for out in (first, *others)}) == 5
    first.zero_()
    assert torch.equal(run(noise(1, 3, 9, 9, seed=1)), kept)


def test_bfloat16_is_close_to_float32_and_not_equal():
    run, x = started("openvino", torch.bfloat16), noise(2, 3, 24, 17)
    expected = network()(x)
    out = run(x)
    assert out.dtype == torch.float32
    difference = (out - expected).abs().max() / expected.abs().max()
    assert difference < 2**-5
    if torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_avx512_bf16_supported():
        assert difference > 1e-5  # otherwise the setting did nothing


@each
def test_threads_may_share_one(backend):
    run, net = started(backend), network()
    pictures = [noise(1, 3, 5 + k % 3, 40, seed=k) for k in range(24)]
    with ThreadPoolExecutor(4) as pool:
        outs = list(pool.map(run, pictures))
    for x, out in zip(pictures, outs, strict=True):
        assert_equal(out, net(x))


def test_the_module_is_left_as_it_is():
    needs("onnxruntime")
    net = network()
    before, places = [m.training for m in net.modules()], [p.data_ptr() for p in net.parameters()]
    run = runtime(net, backend="onnxruntime", in_channels=3, multiple=1, dtype=torch.float32)
    assert [m.training for m in net.modules()] == before
    assert [p.data_ptr() for p in net.parameters()] == places
    expected = net(noise(1, 3, 6, 5))
    net.exit.weight.zero_()  # the runtime holds weights of its own
    assert_equal(run(noise(1, 3, 6, 5)), expected)


# As many threads as torch has


def check_fading(backend, dtype=torch.float32):
    """Start a runtime while torch has one thread; pictures may have any channels, and the result others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run = runtime(Fading().eval(), backend=backend, in_channels=4, multiple=1, dtype=dtype)
    finally:
        torch.set_num_threads(before)
    x = noise(2, 4, 5, 8)
    assert (run(x) - Fading()(x)).abs().max() < (1e-5 if dtype == torch.float32 else 2**-8)


def test_onnxruntime_takes_the_threads_of_torch(monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    threads = []

    class Session(onnxruntime.InferenceSession):
        def __init__(self, graph, options, **rest):
            threads.append(options.intra_op_num_threads)
            super().__init__(graph, options, **rest)

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    check_fading("onnxruntime")
    assert threads == [1]


@pytest.mark.parametrize(("dtype", "precision"), [(torch.float32, "f32"), (torch.bfloat16, "bf16")])
def test_openvino_takes_the_threads_of_torch_and_the_dtype(monkeypatch, dtype, precision):
    started("openvino")  # imports it, without its telemetry
    openvino = sys.modules["openvino"]
    compiled, compile_model = [], openvino.Core.compile_model

    def spy(self, *arguments):
        compiled.append(compile_model(self, *arguments))
        return compiled[-1]

    monkeypatch.setattr(openvino.Core, "compile_model", spy)
    check_fading("openvino", dtype)
    (model,) = compiled
    assert model.get_property("INFERENCE_NUM_THREADS") == 1
    assert model.get_property("PERFORMANCE_HINT") == "LATENCY"
    if dtype == torch.float32 or torch.cpu._is_avx512_bf16_supported():
        assert model.get_property("INFERENCE_PRECISION_HINT").get_type_name() == precision


OPENVINO_IN_A_NEW_HOME = """
import pathlib, sys
import torch
from restorekit.inference._runtimes import runtime

assert "openvino" not in sys.modules
runtime(torch.nn.Identity().eval(), backend="openvino", in_channels=1, multiple=1, dtype=torch.float32)
print([name for name in sys.modules if name.startswith("openvino_telemetry")], list(pathlib.Path.home().iterdir()))
"""


def test_openvino_reports_to_nobody(tmp_path):
    needs("openvino")
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}  # without CI, which would silence it anyway
    result = subprocess.run(
        [sys.executable, "-c", OPENVINO_IN_A_NEW_HOME], capture_output=True, text=True, env=environment, check=False
    )
    assert result.stdout == "[] []\n", result.stderr


# Errors


@pytest.mark.parametrize(
    ("backend", "package", "extra"),
    [
        ("onnxruntime", "onnxruntime", r"restorekit\[onnx\]"),
        ("openvino", "openvino", r"restorekit\[openvino\]"),
        ("openvino", "onnxscript", r"restorekit\[onnx\]"),
    ],
)
def test_the_extra_is_named_where_it_is_missing(monkeypatch, backend, package, extra):
    if package != backend:
        needs(backend)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"{package}.*{extra}"):
        runtime(network(), backend=backend, in_channels=3, multiple=1, dtype=torch.float32)


def test_a_backend_that_is_none():
    with pytest.raises(ValueError, match="backend must be one of onnxruntime, openvino, got 'tensorrt'"):
        runtime(network(), backend="tensorrt", in_channels=3, multiple=1, dtype=torch.float32)


@pytest.mark.parametrize(
    ("backend", "dtype", "offered"),
    [
        ("onnxruntime", torch.bfloat16, "torch.float32, got torch.bfloat16"),
        ("openvino", torch.float16, "torch.float32 or torch.bfloat16, got torch.float16"),
        ("openvino", torch.float64, "torch.float32 or torch.bfloat16, got torch.float64"),
    ],
)
def test_a_dtype_that_the_backend_does_not_compute_in(backend, dtype, offered):
    with pytest.raises(ValueError, match=f"backend='{backend}' computes in {offered}"):
        runtime(network(), backend=backend, in_channels=3, multiple=1, dtype=dtype)
