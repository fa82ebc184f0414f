import math
import pickle

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from scipy.stats import chisquare, kstest, truncnorm

from restorekit._random import seeded
from restorekit.degrade import Boxes, Chain, Cuts, Distortion, Identity, OneOf, SmoothMask, Spatial, brightness
from restorekit.degrade._execute import mask_weights
from restorekit.degrade._law import Draw

DIM = Distortion("brightness", (-0.5, -0.1))


def seed(number):
    return torch.Generator().manual_seed(number)


def pictures(n=2, channels=3, height=32, width=48):
    return torch.rand(n, channels, height, width, generator=seed(0))


def divided(division, size, count=300):
    """The boxes of many pictures."""
    steps = [division._divide(Draw(size, seeded(0, i))) for i in range(count)]
    return [[region["box"] for region in step["regions"]] for step in steps]


def covered(boxes, size):
    """How many boxes hold each pixel."""
    count = torch.zeros(size, dtype=torch.int)
    for top, left, bottom, right in boxes:
        count[top:bottom, left:right] += 1
    return count


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 6),
    st.sampled_from(["random", "horizontal", "vertical", "blocks"]),
    st.integers(0, 999),
)
def test_cuts_cover_the_picture_once(height, width, blocks, orientation, number):
    cuts = Cuts(blocks, orientation=orientation)
    needed = {"horizontal": height, "vertical": width}.get(orientation, min(height, width))
    if needed < blocks:
        return
    boxes = [region["box"] for region in cuts._divide(Draw((height, width), seeded(number)))["regions"]]
    assert len(boxes) == (blocks**2 if orientation == "blocks" else blocks)
    assert (covered(boxes, (height, width)) == 1).all()


@pytest.mark.parametrize("blocks", [2, 3, 4, 5])
def test_strips_follow_the_cut_law(blocks):
    length = 1200
    mean = length / blocks
    strips = []
    for boxes in divided(Cuts(blocks, orientation="vertical"), (20, length)):
        lengths = [right - left for _, left, _, right in boxes[:-1]]
        assert lengths == sorted(lengths)
        assert all(math.floor(0.7 * mean) <= strip <= 1.3 * mean for strip in lengths)
        strips += lengths
    deviation = 3 * blocks
    reach = 0.3 * mean / deviation
    # Half a pixel undoes the rounding down.
    expected = truncnorm(-reach, reach, mean - 0.5, deviation).cdf
    assert kstest(strips, expected).pvalue > 0.001


def test_orientations():
    boxes = divided(Cuts(2), (40, 60), 2000)
    horizontal = sum(box[0][3] == 60 for box in boxes)
    assert all((box[0][3] == 60) != (box[0][2] == 40) for box in boxes)
    assert chisquare([horizontal, 2000 - horizontal]).pvalue > 0.001


@pytest.mark.parametrize("count", [3, (1, 4), (5, 9)])
@pytest.mark.parametrize("overlap", [False, True])
def test_boxes(count, overlap):
    side = (0.1, 0.3)
    drawn = divided(Boxes(count, side, overlap=overlap), (100, 200))
    low, high = count if isinstance(count, tuple) else (count, count)
    numbers = [len(boxes) for boxes in drawn]
    assert set(numbers) == set(range(low, high + 1))
    if low < high:
        assert chisquare([numbers.count(n) for n in range(low, high + 1)]).pvalue > 0.001
    for boxes in drawn:
        for top, left, bottom, right in boxes:
            assert 0 <= top < bottom <= 100
            assert 0 <= left < right <= 200
            assert 10 <= bottom - top <= 30
            assert 20 <= right - left <= 60
    most = max(int(covered(boxes, (100, 200)).max()) for boxes in drawn)
    assert most > 1 if overlap and low > 1 else most >= 1
    assert overlap or most == 1


def test_a_single_box_is_uniform():
    boxes = [boxes[0] for boxes in divided(Boxes(1, (0.2, 0.6)), (1000, 1000), 1500)]
    heights = [bottom - top for top, _, bottom, _ in boxes]
    assert kstest(heights, "uniform", (200, 400)).pvalue > 0.001
    places = [left / (1000 - (right - left)) for _, left, _, right in boxes]
    assert kstest(places, "uniform").pvalue > 0.001


def test_share_of_the_area():
    for ((top, left, bottom, right),) in divided(Boxes(1, (0.2, 0.6), measure="area"), (400, 800), 100):
        assert abs((right - left) - 2 * (bottom - top)) <= 2
        assert 0.19 < (right - left) * (bottom - top) / (400 * 800) < 0.61


@pytest.mark.parametrize(("count", "side", "mean"), [((1, 4), (0.3, 0.7), 0.43), ((5, 9), (0.1, 0.3), 0.18)])
def test_mean_sizes_come_close_to_the_published_ones(count, side, mean):
    drawn = divided(Boxes(count, side), (300, 300))
    sides = [(bottom - top) / 300 for boxes in drawn for top, _, bottom, _ in boxes]
    assert sum(sides) / len(sides) == pytest.approx(mean, abs=0.025)


def test_a_part_of_the_picture_is_the_picture_distorted_as_a_whole():
    x = pictures()
    blur = Distortion("gaussian_blur", 2.0)
    lq, recipe = Spatial(OneOf(blur, Identity()), Cuts(3))(x, generator=seed(3), return_recipe=True)
    blurred = blur(x)
    for i, picture in enumerate(recipe["pictures"]):
        for region in picture["steps"][0]["regions"]:
            top, left, bottom, right = region["box"]
            source = blurred if region["steps"] else x
            assert torch.equal(lq[i, :, top:bottom, left:right], source[i, :, top:bottom, left:right])


def test_outside_of_boxes_nothing_happens_and_later_boxes_lie_on_top():
    x = pictures(4)
    lq, recipe = Spatial(DIM, Boxes(6, (0.3, 0.6), overlap=True))(x, generator=seed(3), return_recipe=True)
    for i, picture in enumerate(recipe["pictures"]):
        expected = x[i : i + 1].clone()
        for region in picture["steps"][0]["regions"]:
            top, left, bottom, right = region["box"]
            dim = brightness(x[i : i + 1], region["steps"][0]["level"])
            expected[..., top:bottom, left:right] = dim[..., top:bottom, left:right]
        assert torch.equal(lq[i : i + 1], expected)


def test_every_region_draws_for_itself():
    _, recipe = Spatial(DIM, Cuts(4))(pictures(1), return_recipe=True)
    regions = recipe["pictures"][0]["steps"][0]["regions"]
    assert len({region["steps"][0]["level"] for region in regions}) == 4


@given(st.integers(1, 30), st.integers(1, 30), st.integers(2, 4), st.floats(0.01, 10), st.integers(0, 999))
def test_weights_of_a_mask(height, width, layers, smoothness, number):
    step = {"seed": number, "smoothness": smoothness, "layers": [{}] * layers}
    weights = mask_weights(step, height, width)
    assert weights.shape == (layers, height, width)
    assert weights.min() > 0
    torch.testing.assert_close(weights.sum(0), torch.ones(height, width))


def test_a_mask_is_smooth_and_no_layer_is_preferred():
    weights = torch.stack([mask_weights({"seed": i, "smoothness": 0.5, "layers": [{}] * 2}, 64, 64) for i in range(60)])
    # Where both fields are near zero the weights change fastest; on the whole they hardly do.
    assert weights.diff(dim=-1).abs().quantile(0.999) < 0.1
    assert weights.diff(dim=-2).abs().quantile(0.999) < 0.1
    assert weights.mean((0, 2, 3)) == pytest.approx([0.5, 0.5], abs=0.05)
    assert weights.amax() > 0.95
    assert weights.mean((2, 3)).std() > 0.01


def test_a_mask_blends():
    x = pictures(1)
    dark, light = Distortion("brightness", -0.2), Distortion("brightness", 0.2)
    lq, recipe = Spatial(OneOf(dark, light), SmoothMask(4))(x, generator=seed(0), return_recipe=True)
    (step,) = recipe["pictures"][0]["steps"]
    layers = torch.cat([brightness(x, layer["steps"][0]["level"]) for layer in step["layers"]])
    weights = mask_weights(step, 32, 48)[:, None]
    assert {layer["steps"][0]["level"] for layer in step["layers"]} == {-0.2, 0.2}
    torch.testing.assert_close(lq[0], (weights * layers).sum(0))


def test_equal_layers_leave_no_trace_of_the_mask():
    x = pictures(1)
    assert torch.equal(Spatial(Distortion("gaussian_blur", 1.0), SmoothMask(3))(x), Distortion("gaussian_blur", 1.0)(x))
    assert torch.equal(Spatial(Identity(), SmoothMask())(x), x)


def test_gradients_pass():
    x = pictures().double().requires_grad_()
    for division in (Cuts(2), Boxes(2, 0.3), SmoothMask()):
        factor = Distortion("contrast", 1.5, options={"reading": "factor", "clip": False})
        (gradient,) = torch.autograd.grad(Spatial(factor, division)(x).sum(), x)
        assert gradient.min() >= 1 - 1e-9
        assert gradient.max() <= 1.5 + 1e-9


def test_pickle_and_repr():
    for division in (Cuts(3), Boxes((1, 4), 0.4, overlap=True), SmoothMask(3, smoothness=0.2)):
        patchy = Spatial(DIM, division)
        again = pickle.loads(pickle.dumps(patchy))
        assert repr(again) == f"Spatial({DIM!r}, {division!r})"
        assert torch.equal(again(pictures(), generator=seed(0)), patchy(pictures(), generator=seed(0)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cuts(0), "blocks must be at least 1"),
        (lambda: Cuts(2, orientation="diagonal"), "random, horizontal, vertical, blocks"),
        (lambda: Boxes(0), "count must be at least 1"),
        (lambda: Boxes((4, 1)), "high end of count must be at least 4"),
        (lambda: Boxes((1, 2, 3)), r"count must be a number or a pair \(low, high\), got \(1, 2, 3\)"),
        (lambda: Boxes(1, (0.1,)), r"side must be a number or a pair"),
        (lambda: Boxes(1, 1.5), r"side must be in \[0, 1\]"),
        (lambda: Boxes(1, (0.5, 0.2)), "low end of side"),
        (lambda: Boxes(1, measure="volume"), "measure"),
        (lambda: SmoothMask(1), "layers must be at least 2"),
        (lambda: SmoothMask(65), r"layers must be in \[2, 64\]"),
        (lambda: SmoothMask(smoothness=0), "smoothness must be in"),
    ],
)
def test_bad_laws(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bad_parts():
    with pytest.raises(TypeError, match="takes compositions"):
        Spatial("jpeg", Cuts(2))
    with pytest.raises(TypeError, match="division must be Cuts, Boxes or SmoothMask"):
        Spatial(DIM, 3)


def test_what_cannot_fit():
    with pytest.raises(ValueError, match="4 blocks do not fit a side of 3 px"):
        Spatial(DIM, Cuts(4, orientation="vertical"))(pictures(1, 3, 9, 3))
    with pytest.raises(ValueError, match=r"5 boxes of 0.6 of the side do not fit a picture of size \(32, 48\)"):
        Spatial(DIM, Boxes(5, 0.6))(pictures())
    with pytest.raises(ValueError, match=r"must keep the size \(32, 48\), got \(16, 24\)"):
        Spatial(Chain(DIM, Distortion("downscale", 2)), Cuts(2))(pictures())
