import importlib
import math
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from PIL import Image
from torch.autograd import gradcheck, gradgradcheck

from restorekit.image import resize, resize_uint8

KERNELS = ("bicubic", "bilinear", "box", "lanczos2", "lanczos3", "nearest")
SIDES = st.integers(1, 40)
SCALES = st.sampled_from([Fraction(1, 4), Fraction(1, 3), Fraction(5, 7), Fraction(1), Fraction(3, 2), Fraction(4)])


# The reference follows MATLAB's description of imresize: one output at a time, 1-based, in rational numbers, which
# leave nothing to rounding but the Lanczos kernels.


def cubic(t, a=Fraction(-1, 2)):
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0


def triangle(t):
    return max(0, 1 - abs(t))


def box(t):
    return int(Fraction(-1, 2) <= t < Fraction(1, 2))


def lanczos(lobes):
    def kernel(t):
        if t == 0:
            return 1.0
        angle = math.pi * float(t)
        return lobes * math.sin(angle) * math.sin(angle / lobes) / angle**2 if abs(t) < lobes else 0.0

    return kernel


REFERENCE = {
    "bicubic": (4, cubic),
    "bilinear": (2, triangle),
    "box": (1, box),
    "lanczos2": (4, lanczos(2)),
    "lanczos3": (6, lanczos(3)),
    "nearest": (1, box),
}


def reference_weights(length, outputs, scale, kernel="bicubic", antialias=True, edge="reflect"):
    width, function = REFERENCE[kernel]
    stretch = max(1, 1 / scale) if antialias and kernel != "nearest" else 1
    matrix = [[0] * length for _ in range(outputs)]
    mirror = [*range(length), *reversed(range(length))]
    for i in range(1, outputs + 1):
        centre = i / scale + Fraction(1, 2) * (1 - 1 / scale)
        left = math.floor(centre - width * stretch / 2)
        taps = {j: function((centre - j) / stretch) for j in range(left, left + math.ceil(width * stretch) + 2)}
        total = sum(taps.values())
        for j, weight in taps.items():
            place = mirror[(j - 1) % (2 * length)] if edge == "reflect" else min(max(j, 1), length) - 1
            matrix[i - 1][place] += weight / total
    return matrix


def reference(x, scales, outputs, **options):
    rows, columns = (
        torch.tensor([[float(w) for w in row] for row in reference_weights(n, m, s, **options)], dtype=torch.float64)
        for n, m, s in zip(x.shape[-2:], outputs, scales, strict=True)
    )
    return rows @ x @ columns.T


def noise(*shape, dtype=torch.float64, seed=0):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def check(actual, expected, tolerance=1e-12):
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("edge", ["reflect", "replicate"])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("scale", [Fraction(1, 4), Fraction(1, 3), Fraction(6, 11), Fraction(7, 5), Fraction(4)])
def test_every_kernel_follows_matlabs_description(scale, kernel, antialias, edge):
    x = noise(2, 1, 37, 24)
    options = {"kernel": kernel, "antialias": antialias, "edge": edge}
    outputs = [math.ceil(n * scale) for n in (37, 24)]
    check(resize(x, float(scale), **options), reference(x, (scale, scale), outputs, **options))


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from(KERNELS), st.sampled_from(["reflect", "replicate"]))
@example(1, 40, 40, 1, "bicubic", "reflect")
@example(40, 2, 1, 40, "lanczos3", "reflect")
@example(33, 35, 18, 14, "box", "reflect")
def test_any_size_follows_matlabs_description(height, width, rows, columns, kernel, edge):
    x = noise(1, 1, height, width)
    scales = (Fraction(rows, height), Fraction(columns, width))
    expected = reference(x, scales, (rows, columns), kernel=kernel, edge=edge)
    check(resize(x, size=(rows, columns), kernel=kernel, edge=edge), expected)


@given(SIDES, SIDES, st.integers(-2, 2), st.sampled_from([1.0, 1.5, 2.0]), st.sampled_from([1 / 1.5, 0.5, 3.0]))
@example(5, 9, -1, 2.0, 2.0)
def test_a_size_beside_the_scale_counts_samples_only(height, width, more, vertical, horizontal):
    x = noise(1, 1, height, width)
    scales = [Fraction(value).limit_denominator(1000) for value in (vertical, horizontal)]
    size = [max(1, math.ceil(n * value) + more) for n, value in zip((height, width), scales, strict=True)]
    check(resize(x, (vertical, horizontal), size=size), reference(x, scales, size))


@pytest.mark.parametrize(("length", "outputs"), [(997, 1009), (1009, 997), (1000, 1), (1, 1000), (1021, 257)])
def test_long_axes_of_awkward_ratio(length, outputs):
    x = noise(1, 2, length, 3)
    expected = reference(x, (Fraction(outputs, length), Fraction(1)), (outputs, 3))
    check(resize(x, size=(outputs, 3)), expected)
    check(resize(x.mT, size=(3, outputs)), expected.mT)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (50, 40)])
def test_a_tiny_scale_averages_the_picture_without_reading_beyond_it(shape):
    x = noise(1, 1, *shape)
    out = resize(x, 1e-5, kernel="box")
    assert out.shape == (1, 1, 1, 1)
    # A box of 100,000 samples over mirrored copies: the mean, but for the copies that it cuts.
    check(out.squeeze(), x.mean(), 1e-3)


def test_matrices_stay_small():
    # No window is wider than the axis, and a long axis adds blocks, not width.
    blocks = importlib.import_module("restorekit.image.resize")._blocks
    options = ("bicubic", True, "reflect", "matlab")
    assert blocks(50, 1, Fraction(1, 100_000), *options).weights.shape == (1, 16, 50)
    for outputs in (270, 271):  # a short period of the weights, and none
        short = blocks(1080, outputs, Fraction(outputs, 1080), *options).weights
        long = blocks(10_800, 10 * outputs, Fraction(outputs, 1080), *options).weights
        assert long.shape[1:] == short.shape[1:]
        assert short.shape[2] < 60


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((3, 500, 17), (3, 1)),
        ((3, 500, 17), (15, 1)),
        ((1, 64, 1280), (64, 6)),
        ((1, 2000, 63), (7, 63)),
        ((3, 100, 307), (100, 1)),
        ((3, 211, 307), (53, 77)),
        ((1, 2000, 1), (7, 1)),
    ],
)
@pytest.mark.parametrize("learnt", [False, True])
def test_neither_threads_nor_the_rest_of_the_batch_change_a_bit(shape, size, learnt):
    pictures = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0)).requires_grad_(learnt)
    expected = resize(pictures[1:2], size=size)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 8):
            torch.set_num_threads(count)
            assert torch.equal(resize(pictures[1:2], size=size), expected)
            assert torch.equal(resize(pictures, size=size)[1:2], expected)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("shape", "size"), [((1, 3, 128), (1, 13)), ((3, 3, 5), (5, 6)), ((1, 64, 1), (113, 1))])
def test_the_rest_of_a_batch_of_thin_pictures_changes_no_bit(shape, size):
    pictures = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    for i in range(3):
        assert torch.equal(resize(pictures, size=size)[i : i + 1], resize(pictures[i : i + 1], size=size))


def test_numbers_of_an_enlarged_step_by_hand():
    # Cubic with a = -1/2 at distances 5/4, 1/4, 3/4, 7/4: weights (-9, 111, 29, -3) / 128.
    step = torch.tensor([0, 0, 0, 128, 128, 128], dtype=torch.float64).view(1, 1, 1, 6)
    expected = torch.tensor([0, 0, 0, -3, -9, 26, 102, 137, 131, 128, 128, 128], dtype=torch.float64)
    assert torch.equal(resize(step, size=(1, 12)).flatten(), expected)


@pytest.mark.parametrize(("antialias", "kernel"), [(a, k) for a in (True, False) for k in ("bicubic", "bilinear")])
@settings(max_examples=60)
@given(SIDES, SIDES, SIDES, SIDES)
def test_like_torch_equals_torch(antialias, kernel, height, width, rows, columns):
    x = noise(1, 2, height, width)
    out = resize(x, size=(rows, columns), kernel=kernel, antialias=antialias, like="torch")
    if columns == 1:  # torch 2.13 makes all rows of a single antialiased column the same; lying down it is right
        x, rows, columns, out = x.mT.contiguous(), columns, rows, out.mT
    expected = F.interpolate(x, size=(rows, columns), mode=kernel, antialias=antialias, align_corners=False)
    check(out, expected, 1e-9)


@pytest.mark.parametrize("scale", [0.25, 1 / 3, 0.37, 0.9, 1.3, 2.0, 3.7])
@pytest.mark.parametrize("antialias", [True, False])
def test_like_torch_rounds_the_size_as_torch(scale, antialias):
    x = noise(1, 1, 33, 20)
    expected = F.interpolate(x, scale_factor=scale, mode="bicubic", antialias=antialias, align_corners=False)
    check(resize(x, scale, antialias=antialias, like="torch"), expected, 1e-9)


@given(SIDES, SIDES, SIDES, SIDES)
def test_nearest_equals_torchs_exact_nearest(height, width, rows, columns):
    x = noise(1, 1, height, width)
    expected = F.interpolate(x, size=(rows, columns), mode="nearest-exact")
    assert torch.equal(resize(x, size=(rows, columns), kernel="nearest", like="torch"), expected)


@pytest.mark.parametrize(
    ("kernel", "name"), [("bicubic", "BICUBIC"), ("lanczos3", "LANCZOS"), ("bilinear", "BILINEAR")]
)
@pytest.mark.parametrize("size", [(9, 13), (31, 20), (80, 61)])
def test_like_torch_equals_pillow(kernel, name, size):
    x = noise(1, 1, 31, 40, dtype=torch.float32)
    expected = Image.fromarray(x[0, 0].numpy()).resize(size[::-1], Image.Resampling[name])
    check(resize(x, size=size, kernel=kernel, like="torch")[0, 0], torch.tensor(np.array(expected)), 1e-5)


@pytest.mark.parametrize(("edge", "mode"), [("reflect", "reflect"), ("replicate", "nearest")])
def test_edges_equal_scipys(edge, mode):
    x = noise(1, 1, 5, 7)
    grid = np.meshgrid((np.arange(20) + 0.5) / 4 - 0.5, (np.arange(28) + 0.5) / 4 - 0.5, indexing="ij")
    expected = scipy.ndimage.map_coordinates(x[0, 0].numpy(), grid, order=1, mode=mode)
    check(resize(x, 4, kernel="bilinear", edge=edge)[0, 0], torch.tensor(expected))


def test_edges_differ_and_only_near_the_border():
    x = noise(1, 1, 40, 40)
    difference = (resize(x, 1 / 4) - resize(x, 1 / 4, edge="replicate")).abs()
    assert difference.max() > 1e-3
    assert difference[..., 2:-2, 2:-2].max() == 0


@pytest.mark.parametrize("scale", [1 / 4, 1 / 3, 1 / 2, 0.37])
def test_interior_of_a_shrunk_picture_equals_torchs(scale):
    x = noise(1, 3, 120, 100)
    expected = F.interpolate(x, scale_factor=scale, mode="bicubic", antialias=True, align_corners=False)
    inner = (..., slice(2, expected.shape[-2] - 2), slice(2, expected.shape[-1] - 2))
    check(resize(x, scale)[inner], expected[inner], 1e-9)


@given(SIDES, SIDES, SCALES, st.sampled_from(KERNELS), st.sampled_from(["matlab", "torch"]))
@example(1, 1, Fraction(1, 4), "nearest", "torch")
def test_constants_stay(height, width, scale, kernel, like):
    x = torch.full((1, 2, height, width), 0.7, dtype=torch.float64)
    out = resize(x, scale, kernel=kernel, like=like)
    check(out, torch.full_like(out, 0.7))


@given(SCALES, st.sampled_from(["bicubic", "bilinear", "lanczos3"]))
def test_ramps_stay_ramps_inside(scale, kernel):
    def ramp(height, width):
        down, right = torch.arange(height, dtype=torch.float64), torch.arange(width, dtype=torch.float64)
        return 0.3 * down[:, None] - 0.2 * right

    out = resize(ramp(60, 75)[None, None], scale, kernel=kernel)
    down, right = ((torch.arange(n, dtype=torch.float64) + 0.5) / float(scale) - 0.5 for n in out.shape[-2:])
    border = math.ceil(4 * max(1, scale))
    inner = (slice(border, -border), slice(border, -border))
    # Lanczos reproduces constants only; a cubic or triangle reproduces lines, if not stretched by a broken factor.
    tolerance = 1e-12 if kernel != "lanczos3" and (scale >= 1 or scale.numerator == 1) else 0.05
    assert out[0, 0][inner].numel() > 0
    check(out[0, 0][inner], (0.3 * down[:, None] - 0.2 * right)[inner], tolerance)


@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([-1, -2]), st.sampled_from(["bicubic", "bilinear", "lanczos2"]))
def test_flips_commute(height, width, rows, columns, axis, kernel):
    x = noise(1, 1, height, width)
    out = resize(x.flip(axis), size=(rows, columns), kernel=kernel)
    check(out, resize(x, size=(rows, columns), kernel=kernel).flip(axis))


@given(SIDES, SIDES, SIDES, SIDES)
def test_axes_are_treated_alike(height, width, rows, columns):
    x = noise(1, 2, height, width)
    check(resize(x.mT, size=(columns, rows)), resize(x, size=(rows, columns)).mT)


@given(SIDES, SIDES, SCALES)
def test_linear(height, width, scale):
    a, b = noise(1, 1, height, width), noise(1, 1, height, width, seed=1)
    check(resize(2 * a - 3 * b, scale), 2 * resize(a, scale) - 3 * resize(b, scale))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 9), st.integers(1, 9))
def test_a_scale_is_the_size_that_it_gives(height, width, p, q):
    x = noise(1, 1, height * q, width * q)
    check(resize(x, p / q), resize(x, size=(height * p, width * p)))


@given(SIDES, SIDES, st.floats(0.05, 4))
def test_size_is_rounded_up_and_at_least_one(height, width, scale):
    out = resize(noise(1, 1, height, width), scale)
    exact = Fraction(scale).limit_denominator(1_000_000)
    assert out.shape[-2:] == (math.ceil(height * exact), math.ceil(width * exact))


def test_products_that_floats_push_over_an_integer_are_not_rounded_up():
    assert math.ceil(50 * 0.14) == 8  # in floats: 7.000000000000001
    assert resize(noise(1, 1, 50, 100), 0.14).shape == (1, 1, 7, 14)


@pytest.mark.parametrize("kernel", KERNELS)
def test_scale_one_changes_nothing_and_copies(kernel):
    x = noise(1, 2, 11, 6, dtype=torch.float32)
    out = resize(x, 1, kernel=kernel)
    assert torch.equal(out, x)
    assert out.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("scale", [1 / 4, 3, 0.37])
def test_pictures_and_channels_do_not_mix(scale):
    x = noise(3, 2, 50, 41)
    parts = [[resize(x[i : i + 1, j : j + 1], scale)[0, 0] for j in range(2)] for i in range(3)]
    check(resize(x, scale), torch.stack([torch.stack(part) for part in parts]))


@pytest.mark.parametrize(
    "options", [{"scale": 1 / 2}, {"scale": 3}, {"size": (7, 19)}, {"scale": 1.4, "like": "torch"}]
)
def test_gradients(options):
    x = noise(1, 2, 12, 9).requires_grad_()
    assert gradcheck(lambda x: resize(x, **options), x)
    assert gradgradcheck(lambda x: resize(x, **options), x)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("options", [{"scale": 1 / 4}, {"scale": 4}, {"scale": 5 / 7}, {"size": (131, 17)}])
def test_result_is_the_same_with_and_without_gradient(kernel, options):
    x = noise(2, 3, 100, 80)
    recorded = resize(x.clone().requires_grad_(), kernel=kernel, **options)
    assert recorded.requires_grad
    plain = resize(x, kernel=kernel, **options)
    assert not plain.requires_grad
    check(plain, recorded.detach())


@pytest.mark.filterwarnings("ignore:`torch.jit.script`:DeprecationWarning")  # raised inside torch
def test_forward_mode_derivative_is_the_resized_tangent():
    x, tangent = noise(1, 1, 64, 64), noise(1, 1, 64, 64, seed=1)
    out, derivative = torch.func.jvp(lambda x: resize(x, 1 / 2), (x,), (tangent,))
    check(out, resize(x, 1 / 2))
    check(derivative, resize(tangent, 1 / 2))


@pytest.mark.parametrize("scale", [1 / 4, 4, 0.37])
def test_a_run_in_inference_mode_leaves_nothing_behind_that_autograd_rejects(scale):
    x = noise(1, 1, 83, 67, dtype=torch.float32)
    with torch.inference_mode():
        resize(x, scale)
    leaf = x.clone().requires_grad_()
    resize(leaf, scale).square().sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().sum() > 0


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 2**-8), (torch.float16, 2**-11)])
@pytest.mark.parametrize("scale", [1 / 4, 4, 0.37])
def test_half_precision_is_float32_rounded_once(dtype, tolerance, scale):
    x = noise(1, 2, 60, 44, dtype=torch.float32).to(dtype)
    out = resize(x, scale)
    assert out.dtype == dtype
    assert torch.equal(out, resize(x.float(), scale).to(dtype))
    check(out.double(), resize(x.double(), scale), 2 * tolerance)


@pytest.mark.parametrize("scale", [1 / 4, 4, 0.37])
def test_float32_is_close_to_float64(scale):
    x = noise(1, 2, 200, 150)
    out = resize(x.float(), scale)
    assert out.dtype == torch.float32
    check(out.double(), resize(x, scale), 1e-6)


@pytest.mark.parametrize("scale", [1 / 2, 2, 0.37])
@pytest.mark.parametrize("grad", [True, False])
def test_autocast_does_not_lower_the_precision(scale, grad):
    x = noise(1, 1, 64, 40, dtype=torch.float32).requires_grad_(grad)
    with torch.autocast("cpu", torch.bfloat16):
        out = resize(x, scale)
    assert torch.equal(out, resize(x, scale))


@pytest.mark.parametrize("scale", [1 / 4, 3, 0.37])
def test_memory_layout_does_not_matter(scale):
    x = noise(2, 3, 45, 62)
    expected = resize(x, scale)
    wide = torch.zeros(2, 3, 90, 124, dtype=torch.float64)
    wide[..., ::2, 1::2] = x
    for same in (x.contiguous(memory_format=torch.channels_last), wide[..., ::2, 1::2], x.mT.contiguous().mT):
        assert not same.is_contiguous()
        check(resize(same, scale), expected)
    check(resize(x[:1].expand(5, -1, -1, -1), scale)[4], expected[0])


@given(SIDES, SIDES, SCALES)
def test_result_is_contiguous_and_the_argument_unchanged(height, width, scale):
    x = noise(2, 2, height, width)
    before = x.clone()
    assert resize(x, scale).is_contiguous()
    assert torch.equal(x, before)


def test_meta_tensors_have_shapes():
    assert resize(torch.empty(1, 3, 30, 20, device="meta"), 1 / 4).shape == (1, 3, 8, 5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("scale", [1 / 4, 4, 0.37])
def test_cuda_equals_cpu(scale):
    x = noise(2, 3, 120, 90)
    check(resize(x.cuda(), scale).cpu(), resize(x, scale))


X = torch.zeros(1, 3, 8, 8)


@pytest.mark.parametrize("scale", [0, -1, -0.5, math.nan, math.inf, -math.inf, 1e-9])
def test_scale_must_be_positive_and_finite(scale):
    with pytest.raises(ValueError, match="scale must be"):
        resize(X, scale)
    with pytest.raises(ValueError, match="scale must be"):
        resize_uint8(np.zeros((4, 4), np.uint8), scale)


@pytest.mark.parametrize("scale", [True, "2", 2j, (2, "2"), torch.tensor(2.0)])
def test_scale_must_be_a_number(scale):
    with pytest.raises(TypeError, match="scale must be a real number"):
        resize(X, scale)
    with pytest.raises(TypeError, match="scale must be a real number"):
        resize_uint8(np.zeros((4, 4), np.uint8), scale)


@pytest.mark.parametrize("scale", [(2,), (2, 2, 2), ()])
def test_scales_are_two(scale):
    with pytest.raises(ValueError, match=r"two of them \(vertical, horizontal\)"):
        resize(X, scale)


def test_scale_or_size_must_be_given():
    with pytest.raises(ValueError, match="give scale, or size, or both"):
        resize(X)


def test_uint8_takes_one_scale():
    with pytest.raises(TypeError, match="scale must be a real number"):
        resize_uint8(np.zeros((4, 4), np.uint8), (2, 2))


@pytest.mark.parametrize("size", [5, (5,), (5, 5, 5), (0, 5), (5, -1), (5.0, 5), (True, 5), "55", {5, 6}])
def test_size_must_be_two_positive_integers(size):
    with pytest.raises(ValueError, match="size must be two positive integers"):
        resize(X, size=size)


def test_size_may_be_any_sequence():
    assert resize(X, size=[3, 4]).shape == resize(X, size=torch.Size([3, 4])).shape == (1, 3, 3, 4)


@pytest.mark.parametrize(
    ("name", "known"),
    [("kernel", "bicubic, bilinear, box, lanczos2, lanczos3, nearest"), ("edge", "reflect"), ("like", "matlab, torch")],
)
@pytest.mark.parametrize("value", ["cubic", "", None, 3])
def test_unknown_choices_name_the_known(name, known, value):
    with pytest.raises(ValueError, match=f"{name} must be one of {known}.*got {value!r}"):
        resize(X, 2, **{name: value})


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (X[0], ValueError),
        (X[..., None], ValueError),
        (X[:, :, :0], ValueError),
        (X[:0], ValueError),
        (X.byte(), TypeError),
        (X.bool(), TypeError),
        (X.to(torch.complex64), TypeError),
        (X.numpy(), TypeError),
        ("x", TypeError),
    ],
)
def test_pictures_must_be_a_float_batch(x, error):
    with pytest.raises(error, match="x must"):
        resize(x, 2)


# uint8: the published recipe


def exact_uint8(array, scale):
    """Rows, then columns, each in rational numbers and rounded half up."""

    def along_first(values):
        outputs = math.ceil(len(values) * scale)
        weights = np.array(reference_weights(len(values), outputs, scale, edge="replicate"), dtype=object)
        flat = weights @ values.reshape(len(values), -1).astype(int).astype(object)
        rounded = [[min(max(math.floor(v + Fraction(1, 2)), 0), 255) for v in row] for row in flat]
        return np.array(rounded, np.uint8).reshape(outputs, *values.shape[1:])

    return along_first(along_first(array).swapaxes(0, 1)).swapaxes(0, 1)


def picture(height, width, channels=None):
    """Black and white blocks on the left, whose overshoot has to be clamped, and noise on the right."""
    row, column, channel = np.mgrid[:height, :width, : channels or 1]
    blocks = 255 * ((row // 6 + column // 7 + channel) % 2)
    mixed = (row * 37 + column**2 * 11 + row * column * 53 + channel * 101) % 256
    out = np.where(column < width // 2, blocks, mixed).astype(np.uint8)
    return out if channels else out[..., 0]


@pytest.mark.parametrize("channels", [None, 1, 3, 4])
@pytest.mark.parametrize("scale", [Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), Fraction(2), Fraction(3)])
def test_uint8_equals_rational_arithmetic(scale, channels):
    array = picture(24, 36, channels)
    expected = exact_uint8(array, scale)
    np.testing.assert_array_equal(resize_uint8(array, float(scale)), expected)


@given(st.integers(1, 20), st.integers(1, 20), st.sampled_from([2, 3, 4]), st.booleans())
def test_uint8_equals_rational_arithmetic_at_any_size(height, width, factor, shrink):
    array = picture(height, width)
    scale = Fraction(1, factor) if shrink else Fraction(factor)
    np.testing.assert_array_equal(resize_uint8(array, float(scale)), exact_uint8(array, scale))


def test_uint8_numbers_by_hand():
    # Halving takes weights (-3, -9, 29, 111, 111, 29, -9, -3) / 256: -3, 17 and 242 of them fall on the white part.
    bar = np.array([[0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0]] * 2, np.uint8)
    np.testing.assert_array_equal(resize_uint8(bar, 1 / 2), [[0, 17, 241, 241, 17, 0]])
    np.testing.assert_array_equal(resize_uint8(255 - bar, 1 / 2), [[255, 238, 14, 14, 238, 255]])
    np.testing.assert_array_equal(resize_uint8(bar.T, 1 / 2), [[0], [17], [241], [241], [17], [0]])


def test_uint8_rounds_half_up():
    # The third output lies on the step, at exactly 100.5; the even neighbour is 100.
    step = np.array([[100] * 5 + [101] * 5] * 2, np.uint8)
    np.testing.assert_array_equal(resize_uint8(step, 1 / 2), [[100, 100, 101, 101, 101]])


def test_uint8_takes_rows_first():
    array = picture(24, 24)
    columns_first = resize_uint8(array.T, 1 / 2).T
    assert not np.array_equal(resize_uint8(array, 1 / 2), columns_first)
    np.testing.assert_array_equal(columns_first, exact_uint8(array.T, Fraction(1, 2)).T)


def test_uint8_rounds_and_clamps_between_the_passes():
    array = picture(24, 36)
    x = torch.from_numpy(array).double()[None, None]
    floats = resize(x, 1 / 3, edge="replicate")
    rows = resize(x, size=(8, 36), edge="replicate").add(0.5).floor().clamp(0, 255)
    both = resize(rows, size=(8, 12), edge="replicate").add(0.5).floor().clamp(0, 255)
    out = torch.from_numpy(resize_uint8(array, 1 / 3)).double()
    assert torch.equal(out, both[0, 0])
    assert not torch.equal(out, floats.add(0.5).floor().clamp(0, 255)[0, 0])


def test_uint8_is_close_to_resize_of_floats():
    array = picture(60, 48) // 3 + 80  # far from both ends, so that nothing is clamped
    floats = resize(torch.from_numpy(array).double()[None, None], 1 / 4, edge="replicate")[0, 0].numpy()
    assert np.abs(resize_uint8(array, 1 / 4) - floats).max() < 1.2  # half a level for each rounding, with overshoot


def test_uint8_layout_and_argument():
    array = picture(12, 18, 3)
    before = array.copy()
    expected = resize_uint8(array, 1 / 3)
    assert expected.flags.c_contiguous
    assert expected.dtype == np.uint8
    assert expected.shape == (4, 6, 3)
    np.testing.assert_array_equal(array, before)
    np.testing.assert_array_equal(resize_uint8(np.asfortranarray(array), 1 / 3), expected)
    np.testing.assert_array_equal(resize_uint8(array[::-1, ::-1], 1 / 3)[::-1, ::-1], expected)
    for channel in range(3):
        np.testing.assert_array_equal(resize_uint8(array[..., channel], 1 / 3), expected[..., channel])


def test_uint8_sizes():
    assert resize_uint8(np.zeros((9, 10), np.uint8), 1 / 4).shape == (3, 3)
    assert resize_uint8(np.zeros((1, 1, 3), np.uint8), 1 / 4).shape == (1, 1, 3)
    assert resize_uint8(np.full((1, 1), 9, np.uint8), 3).tolist() == [[9] * 3] * 3


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((4, 4)), TypeError),
        (np.zeros((4, 4), np.uint16), TypeError),
        (np.zeros((4, 4), bool), TypeError),
        (torch.zeros(4, 4, dtype=torch.uint8), TypeError),
        ([[1, 2], [3, 4]], TypeError),
        (np.zeros(4, np.uint8), ValueError),
        (np.zeros((1, 4, 4, 3), np.uint8), ValueError),
        (np.zeros((0, 4), np.uint8), ValueError),
        (np.zeros((4, 4, 0), np.uint8), ValueError),
    ],
)
def test_uint8_must_be_a_uint8_picture(array, error):
    with pytest.raises(error, match="array must be a"):
        resize_uint8(array, 1 / 2)
