import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate
from scipy.special import gamma
from skimage import data
from skimage.color import rgb2ycbcr

from restorekit.data import ImageFolder
from restorekit.image import write_image
from restorekit.metrics import NiqeModel, fit_niqe, niqe
from restorekit.metrics._natural_scene import block_features

MODEL = NiqeModel(torch.arange(36).double() / 36, 0.04 * torch.eye(36).double())
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def camera():
    """Two by three blocks and a rest, (1, 1, 200, 300)."""
    return torch.from_numpy(data.camera()[200:400, 150:450] / 255)[None, None]


def coffee(rows=192, columns=192):
    return torch.from_numpy(data.coffee()[:rows, :columns] / 255).permute(2, 0, 1)[None]


def noise(shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# The definition once more, block by block with NumPy and SciPy.


def half(x):
    """Bicubic halving with antialiasing, eight taps, the edge mirrored: both axes."""
    distance = np.abs(np.arange(8) - 3.5) / 2
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    taps = np.where(distance <= 1, near, far)
    for _ in range(2):
        padded = np.pad(x, ((3, 4), (0, 0)), "symmetric")
        x = sum(w * padded[k : k + len(x) : 2] for k, w in enumerate(taps / taps.sum())).T
    return x


def normalise(x):
    distance = np.arange(7) - 3
    window = np.exp(-(distance[:, None] ** 2 + distance**2) / (2 * (7 / 6) ** 2))
    mean, power = (correlate(v, window / window.sum(), mode="nearest") for v in (x, x * x))
    deviation = np.sqrt(np.abs(power - mean * mean))
    return (x - mean) / (deviation + 1), deviation


def aggd(values):
    shapes = 0.2 + 0.001 * np.arange(9801)
    left, right = (np.sqrt((values[side] ** 2).mean()) for side in (values < 0, values > 0))
    skew = left / right
    ratio = np.abs(values).mean() ** 2 / (values**2).mean() * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = shapes[np.argmin((gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes)) - ratio) ** 2)]
    width = math.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * width, right * width


def describe(block):
    shape, left, right = aggd(block)
    out = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right = aggd(block * np.roll(block, shift, (0, 1)))
        out += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return out


def reference_features(levels):
    """Features (blocks, 36) and sharpness (blocks,) of a plane of whole grey levels."""
    rows, columns = (side // 96 for side in levels.shape)
    levels = levels[: 96 * rows, : 96 * columns].astype(float)
    (full, deviation), (small, _) = normalise(levels), normalise(half(levels))
    places = [(i, j) for i in range(rows) for j in range(columns)]

    def cut(plane, size, i, j):
        return plane[size * i : size * (i + 1), size * j : size * (j + 1)]

    features = [describe(cut(full, 96, i, j)) + describe(cut(small, 48, i, j)) for i, j in places]
    return np.array(features), np.array([cut(deviation, 96, i, j).mean() for i, j in places])


def reference(levels, model=MODEL):
    features, _ = reference_features(levels)
    difference = features.mean(axis=0) - model.mean.numpy()
    pooled = (np.cov(features, rowvar=False) + model.covariance.numpy()) / 2
    return math.sqrt(difference @ np.linalg.pinv(pooled) @ difference)


@pytest.mark.parametrize("device", DEVICES)
def test_equals_the_definition_for_grey(device):
    expected = reference(data.camera()[200:400, 150:450])
    assert niqe(camera().to(device), MODEL).cpu().numpy() == pytest.approx([expected], rel=1e-9)


def test_equals_the_definition_for_rgb():
    luma = np.floor(rgb2ycbcr(data.coffee()[:96, :192])[..., 0] + 0.5)
    assert niqe(coffee(96, 192), MODEL).item() == pytest.approx(reference(luma), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exact_halves_of_the_luma_go_up(dtype):
    every = np.stack(np.meshgrid(*[np.arange(0, 256, 5)] * 3), axis=-1).reshape(-1, 3)
    doubled = 2 * (every @ np.array([65481, 128553, 24966]) + 16 * 255000)
    ties = np.flatnonzero(doubled % 510000 == 255000)
    assert len(ties) == 10  # of three levels of luma
    chosen = ties[np.random.default_rng(0).integers(0, len(ties), (96, 192))]
    x = torch.from_numpy(every[chosen]).permute(2, 0, 1)[None].to(dtype) / 255
    luma = (doubled[chosen] + 255000) // 510000
    assert niqe(x, MODEL).item() == pytest.approx(reference(luma), rel=1e-6)


def test_features_and_sharpness_of_each_block():
    levels = np.random.default_rng(0).integers(0, 256, (192, 100))
    features, sharpness = block_features(torch.from_numpy(levels / 255)[None, None])
    expected = reference_features(levels)
    assert features[0].numpy() == pytest.approx(expected[0], rel=1e-9, abs=1e-12)
    assert sharpness[0].numpy() == pytest.approx(expected[1], rel=1e-9)


def test_features_equal_pyiqa():
    # pyiqa 0.1.16, compute_feature at both scales in float64 (its grid of shapes is rounded to float32).
    expected = [2.02499986, 0.93984763, 0.72300005, -0.03137405, 0.16709676, 0.14999861, 0.73399997, 0.00286775,
                0.1600756, 0.16169531, 0.72300005, -0.07220343, 0.1752723, 0.13592307, 0.72000003, -0.08829963,
                0.18232653, 0.1346834, 2.31099987, 0.90344175, 0.77500004, 0.05580492, 0.13133497, 0.16693743,
                0.78899997, -0.02367563, 0.16756802, 0.15187989, 0.75699997, -0.05533092, 0.16249481, 0.1289635,
                0.76800001, -0.08335725, 0.18203256, 0.12988562]  # fmt: skip
    assert block_features(camera())[0][0, 3].numpy() == pytest.approx(expected, abs=5e-6)


def test_value_equals_pyiqa():
    # pyiqa 0.1.16, niqe() with the same mean and covariance.
    assert niqe(camera(), MODEL).item() == pytest.approx(23.97380387, rel=2e-6)


def test_zero_for_a_picture_like_the_model():
    features = block_features(camera())[0][0]
    model = NiqeModel(features.mean(0), torch.eye(36))
    assert niqe(camera(), model).item() == pytest.approx(0, abs=1e-6)


def test_crop_and_rest_are_left_out():
    x = camera()
    assert torch.equal(niqe(x, MODEL, crop_border=4), niqe(x[..., 4:196, 4:292], MODEL))
    assert torch.equal(niqe(x, MODEL), niqe(x[..., :192, :288], MODEL))


def test_pictures_do_not_see_each_other():
    x = torch.cat([camera(), noise((1, 1, 200, 300)), camera().flip(-1)])
    value = niqe(x, MODEL)
    assert value.shape == (3,)
    for i in range(3):
        torch.testing.assert_close(niqe(x[i : i + 1], MODEL), value[i : i + 1], rtol=1e-9, atol=0)


@settings(max_examples=5, deadline=None)
@given(shift=st.integers(-40, 40))
def test_brightness_does_not_matter(shift):
    x = 0.25 + 0.5 * camera()[..., :96, :192]
    levels = torch.floor(255 * x + 0.5)
    brighter = niqe((levels + shift) / 255, MODEL)
    torch.testing.assert_close(brighter, niqe(levels / 255, MODEL), rtol=1e-6, atol=0)


def test_rounds_to_whole_levels():
    levels = torch.floor(200 * noise((1, 1, 96, 192))) + 20
    torch.testing.assert_close(niqe((levels + 0.4) / 255, MODEL), niqe(levels / 255, MODEL), rtol=0, atol=0)
    torch.testing.assert_close(niqe((levels + 0.6) / 255, MODEL), niqe((levels + 1) / 255, MODEL), rtol=0, atol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_propagates_and_stays_in_its_picture(bad):
    x = camera().repeat(2, 1, 1, 1)
    x[0, 0, 50, 50] = bad
    value = niqe(x, MODEL)
    assert value[0].isnan()
    torch.testing.assert_close(value[1:], niqe(camera(), MODEL), rtol=1e-9, atol=0)


def test_flat_blocks_are_left_out_as_matlab_does():
    # The third block is flat, and so is what its windows reach. It has scales of NaN, which the mean skips, and the
    # shape 0.2, which the mean takes.
    x = noise((1, 1, 96, 288))
    x[..., 170:] = 0.3
    features = block_features(x)[0][0]
    flat = features[2]
    assert flat.isnan().tolist() == [False] + [True] + [False, True, True, True] * 4 + [False, True] + [
        False, True, True, True] * 4  # fmt: skip
    assert set(flat[~flat.isnan()].tolist()) == {0.2}
    mean, covariance = features.nanmean(0).numpy(), np.cov(features[:2].numpy(), rowvar=False)
    difference = mean - MODEL.mean.numpy()
    expected = math.sqrt(difference @ np.linalg.pinv((covariance + MODEL.covariance.numpy()) / 2) @ difference)
    assert niqe(x, MODEL).item() == pytest.approx(expected, rel=1e-9)


def test_flat_areas_do_not_depend_on_rounding():
    levels = torch.floor(100 * noise((1, 1, 96, 192)))
    levels[..., :40, :] = 50
    values = [niqe((levels + shift) / 255, MODEL).item() for shift in range(0, 150, 7)]
    assert values == pytest.approx([values[0]] * len(values), rel=1e-9)


@pytest.mark.parametrize("x", [torch.zeros(1, 3, 200, 200), torch.rand(1, 1, 1, 1).expand(1, 1, 96, 192)])
def test_flat_pictures_have_no_value(x):
    assert niqe(x, MODEL).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype(dtype):
    x = noise((2, 3, 96, 192), dtype=torch.float32).to(dtype)
    value = niqe(x, MODEL)
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    torch.testing.assert_close(value.double(), niqe(x.double(), MODEL), rtol=1e-6, atol=0)


def test_no_gradient_and_nothing_written():
    x = noise((1, 3, 96, 192)).requires_grad_()
    before = x.detach().clone()
    assert not niqe(x, MODEL).requires_grad
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("x", "options", "error", "message"),
    [
        (torch.rand(1, 3, 95, 400), {}, ValueError, "at least one block of 96x96 pixels, got 95x400"),
        (torch.rand(1, 3, 96, 96), {}, ValueError, "needs at least two, got"),
        (torch.rand(1, 3, 100, 200), {"crop_border": 4}, ValueError, "at least one block"),
        (torch.rand(1, 3, 104, 200), {"crop_border": 5}, ValueError, "at least one block"),
        (torch.rand(1, 3, 196, 100), {"crop_border": 4}, ValueError, "at least one block"),
        (torch.rand(1, 3, 192, 104), {"crop_border": 4}, ValueError, "needs at least two"),
        (torch.rand(1, 2, 200, 200), {}, ValueError, "1 or 3 channels"),
        (torch.rand(1, 4, 200, 200), {}, ValueError, "1 or 3 channels"),
        (torch.rand(3, 200, 200), {}, ValueError, "4 dimensions"),
        (torch.zeros(1, 3, 200, 200, dtype=torch.uint8), {}, TypeError, "floating-point"),
        (torch.rand(1, 3, 200, 200), {"crop_border": -1}, ValueError, "crop_border"),
        (torch.rand(1, 3, 200, 200), {"crop_border": 1.0}, TypeError, "crop_border"),
    ],
)
def test_bad_pictures(x, options, error, message):
    with pytest.raises(error, match=message):
        niqe(x, MODEL, **options)


def test_model_is_asked_for():
    with pytest.raises(TypeError, match="fit_niqe makes one"):
        niqe(camera(), "modelparameters.mat")


# Fitting.


def clean(seed):
    """A picture of 25 blocks of (480, 480), noise that differs in strength: 13 of them are sharp."""
    rng = np.random.default_rng(seed)
    strength = np.kron(np.where(np.arange(25) % 2, 0.3, 1.0).reshape(5, 5), np.ones((96, 96)))
    return (128 + 60 * strength * rng.uniform(-1, 1, (480, 480))).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures():
    return [clean(seed) for seed in range(3)]


def reference_model(pictures, threshold=0.75):
    rows = []
    for levels in pictures:
        features, sharpness = reference_features(levels)
        rows.append(features[sharpness > threshold * sharpness.max()])
    rows = np.concatenate(rows)
    return len(rows), rows.mean(axis=0), np.cov(rows, rowvar=False)


def test_fit_takes_the_sharp_blocks_of_each_picture(pictures):
    dim = (128 + 0.1 * (pictures[2].astype(float) - 128)).round().astype(np.uint8)  # its own largest sharpness counts
    count, mean, covariance = reference_model([*pictures[:2], dim])
    assert count == 39
    model = fit_niqe([*pictures[:2], dim])
    assert model.mean.numpy() == pytest.approx(mean, rel=1e-9, abs=1e-12)
    assert model.covariance.numpy() == pytest.approx(covariance, rel=1e-7, abs=1e-12)


def test_fit_with_another_threshold(pictures):
    count, mean, _ = reference_model(pictures[:2], 0.1)
    assert count == 50
    assert fit_niqe(pictures[:2], sharpness=0.1).mean.numpy() == pytest.approx(mean, rel=1e-9, abs=1e-12)


def test_fit_takes_folders_paths_batches_and_data_sets(pictures, tmp_path):
    expected = fit_niqe(pictures).mean
    for name, picture in zip("cab", (pictures[2], *pictures[:2]), strict=True):
        write_image(tmp_path / f"{name}.png", picture)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_text("no picture")
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    grey = torch.from_numpy(np.stack(pictures))[:, None].double() / 255
    assert torch.equal(fit_niqe(tmp_path).mean, expected)
    assert torch.equal(fit_niqe(str(tmp_path)).mean, expected)
    assert torch.equal(fit_niqe(iter(paths)).mean, expected)
    torch.testing.assert_close(fit_niqe([grey]).mean, expected, rtol=1e-9, atol=1e-12)
    rgb = fit_niqe([picture.expand(3, -1, -1) for picture in grey]).mean
    torch.testing.assert_close(fit_niqe(ImageFolder(tmp_path)).mean, rgb, rtol=1e-9, atol=1e-12)


def test_fitted_model_ranks_blur(pictures):
    model = fit_niqe(pictures)
    x = torch.from_numpy(np.stack(pictures))[:, None].double() / 255
    blurred = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    assert (niqe(blurred, model) > niqe(x, model)).all()


def test_fit_shows_progress_only_when_asked(pictures, capsys):
    fit_niqe(pictures)
    assert capsys.readouterr().err == ""
    fit_niqe(pictures, progress=True)
    assert "3picture" in capsys.readouterr().err


def test_fit_needs_enough_blocks(pictures):
    flat = np.full((480, 480), 9, np.uint8)
    for given_pictures, found in (([], 0), (pictures[:2], 26), ([*pictures[:2], flat, flat], 26)):
        with pytest.raises(ValueError, match=f"at least 37 sharp blocks of 96x96 pixels, got {found} from"):
            fit_niqe(given_pictures)
    with pytest.raises(ValueError, match="got 0 from 3 pictures"):
        fit_niqe(pictures, sharpness=1.0)


def test_fit_names_the_bad_picture(pictures, tmp_path):
    small, alpha = np.zeros((95, 200), np.uint8), np.zeros((100, 100, 4), np.uint8)
    broken = torch.full((1, 96, 96), math.nan)
    for picture, message in ((small, "at least one block"), (alpha, "1 or 3 channels"), (broken, "NaN or infinity")):
        with pytest.raises(ValueError, match=f"picture 1: .*{message}"):
            fit_niqe([pictures[0], picture])
    (tmp_path / "b.png").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"b\.png: "):
        fit_niqe(tmp_path)


def test_fit_refuses_what_is_no_set_of_pictures(tmp_path):
    with pytest.raises(ValueError, match="holds no picture"):
        fit_niqe(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match="is not a folder"):
        fit_niqe(tmp_path / "a.png")
    with pytest.raises(TypeError, match="image must be"):
        fit_niqe([3])
    with pytest.raises(ValueError, match="sharpness must be in"):
        fit_niqe(tmp_path, sharpness=1.5)
