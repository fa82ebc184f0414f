import io
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.export import Dim
from torch.utils.flop_counter import FlopCounterMode

from restorekit.image import resize
from restorekit.layers import BicubicUpsampler


def pictures(height, width, dtype=torch.float64):
    generator = torch.Generator().manual_seed(height * 100 + width)
    return torch.rand(2, 3, height, width, generator=generator, dtype=torch.float64).to(dtype)


@given(scale=st.integers(1, 8), height=st.integers(1, 9), width=st.integers(1, 9))
def test_equals_resize(scale, height, width):
    x = pictures(height, width)
    before = x.clone()
    out = BicubicUpsampler(scale)(x)
    assert out.shape == (2, 3, scale * height, scale * width)
    assert torch.allclose(out, resize(x, scale), rtol=0, atol=1e-14)
    assert torch.equal(x, before)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_interior_equals_torchs_cubic_with_the_weights_of_keys(scale):
    """torch's antialiased cubic has a = -0.5 as well, and differs at the border only."""
    x = pictures(9, 11)
    expected = F.interpolate(x, scale_factor=scale, mode="bicubic", antialias=True, align_corners=False)
    inner = (..., slice(3 * scale, -3 * scale), slice(3 * scale, -3 * scale))
    assert torch.allclose(BicubicUpsampler(scale)(x)[inner], expected[inner], rtol=0, atol=1e-12)


@given(scale=st.sampled_from([2, 3, 4, 8]), slope=st.floats(-1, 1))
def test_keeps_planes_in_the_interior(scale, slope):
    y, x = torch.meshgrid(torch.arange(8.0).double(), torch.arange(9.0).double(), indexing="ij")
    out = BicubicUpsampler(scale)((slope * y + x)[None, None])[0, 0]
    places = (torch.arange(9.0 * scale, dtype=torch.float64) + 0.5) / scale - 0.5
    expected = slope * places[: 8 * scale, None] + places
    inner = (slice(2 * scale, -2 * scale), slice(2 * scale, -2 * scale))
    assert torch.allclose(out[inner], expected[inner], rtol=0, atol=1e-12)


def test_a_single_pixel_fills_its_square():
    x = pictures(1, 1)
    assert torch.allclose(BicubicUpsampler(4)(x), x.expand(2, 3, 4, 4), rtol=0, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_is_kept_and_halves_are_computed_in_float32(dtype):
    x = pictures(5, 4, dtype)
    out = BicubicUpsampler(3)(x)
    assert out.dtype == dtype
    compute = x if dtype == torch.float64 else x.float()
    assert torch.equal(out, BicubicUpsampler(3)(compute).to(dtype))


def test_autocast_changes_nothing():
    x = pictures(5, 4, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        out = BicubicUpsampler(2)(x)
    assert out.dtype == torch.float32
    assert torch.equal(out, BicubicUpsampler(2)(x))


def test_gradient():
    x = pictures(2, 3)[:1].requires_grad_()
    assert torch.autograd.gradcheck(BicubicUpsampler(3), (x,))


def test_holds_no_tensors_and_no_convolution():
    layer = BicubicUpsampler(4)
    assert not layer.state_dict()
    assert not list(layer.buffers())
    with FlopCounterMode(display=False) as counted:
        layer(pictures(5, 4))
    assert counted.get_total_flops() == 0


def exported(scale):
    sizes = {"x": {2: Dim("height"), 3: Dim("width")}}
    return torch.export.export(BicubicUpsampler(scale).eval(), (pictures(7, 5, torch.float32),), dynamic_shapes=sizes)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_exports_with_any_size(scale):
    program = exported(scale).module()
    for size in [(2, 9), (12, 3), (1, 1), (1, 6)]:
        x = pictures(*size, torch.float32)
        assert torch.equal(program(x), BicubicUpsampler(scale)(x))


def test_onnx_runtime_computes_the_same_at_other_sizes():
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        program = torch.onnx.export(exported(3), dynamo=True, verbose=False)
    program.save(file := io.BytesIO())
    session = runtime.InferenceSession(file.getvalue())
    for size in [(9, 4), (1, 6)]:
        x = pictures(*size, torch.float32)
        [out] = session.run(None, {"x": x.numpy()})
        assert torch.allclose(torch.from_numpy(out), BicubicUpsampler(3)(x), rtol=0, atol=1e-6)


def test_compiles_without_a_graph_break():
    torch.compiler.reset()
    compiled = torch.compile(BicubicUpsampler(2), fullgraph=True, backend="aot_eager", dynamic=True)
    for size in [(7, 5), (3, 8)]:
        assert torch.allclose(compiled(pictures(*size)), BicubicUpsampler(2)(pictures(*size)), rtol=0, atol=1e-14)


def test_refuses_other_scales():
    with pytest.raises(ValueError, match="scale must be at least 1, got 0"):
        BicubicUpsampler(0)
    for scale in (2.0, "2", True, None):
        with pytest.raises(TypeError, match="scale must be an integer"):
            BicubicUpsampler(scale)


def test_refuses_what_is_no_batch_of_pictures():
    with pytest.raises(ValueError, match="4 dimensions"):
        BicubicUpsampler(2)(torch.rand(3, 4, 4))
    with pytest.raises(TypeError, match="floating-point"):
        BicubicUpsampler(2)(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))


def test_describes_itself():
    assert repr(BicubicUpsampler(3)) == "BicubicUpsampler(scale=3)"
