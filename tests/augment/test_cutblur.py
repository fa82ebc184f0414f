import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch.autograd import gradcheck

from restorekit.augment import cutblur
from restorekit.augment._pair import span


def seed(number):
    return torch.Generator().manual_seed(number)


def pair(n=2, channels=3, height=6, width=5, scale=2, dtype=torch.float32):
    """A pair in which no value of one occurs in the other."""
    lq = torch.rand(n, channels, height, width, dtype=torch.float64, generator=seed(0)) * 0.4
    hq = torch.rand(n, channels, height * scale, width * scale, dtype=torch.float64, generator=seed(1)) * 0.4 + 0.6
    return lq.to(dtype), hq.to(dtype)


def enlarged(lq, scale):
    return torch.from_numpy(np.repeat(np.repeat(lq.double().numpy(), scale, -2), scale, -1)).to(lq.dtype)


def masks(n, height, width, scale=1, **options):
    """Where cutblur took the clean picture, (N, H, W) of bool: clean pictures are ones, damaged ones zeros."""
    out, _ = cutblur(torch.zeros(n, 1, height, width), torch.ones(n, 1, height * scale, width * scale), **options)
    return out[:, 0].bool()


def is_box(mask):
    """Ones fill the rectangle that their rows and columns span, and that is one piece."""
    rows, columns = mask.any(-1), mask.any(-2)
    whole = all(int(line.int().diff().abs().sum()) <= 2 - int(line[0]) - int(line[-1]) for line in (rows, columns))
    return whole and torch.equal(mask, rows[:, None] & columns[None, :])


def box_of(mask):
    """The box (top, left, height, width), and whether it holds the clean picture."""
    clean = is_box(mask)
    inside = mask if clean else ~mask
    rows, columns = inside.any(-1).nonzero().flatten(), inside.any(-2).nonzero().flatten()
    return int(rows[0]), int(columns[0]), len(rows), len(columns), clean


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
    st.sampled_from([0, 0.3, 0.7, 1]),
    st.sampled_from([0, 0.5, 1]),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    st.integers(0, 999),
)
def test_laws(n, height, width, scale, alpha, p, same, dtype, number):
    lq, hq = pair(n, 3, height, width, scale, dtype)
    before = lq.clone(), hq.clone()
    out, target = cutblur(lq, hq, alpha=alpha, p=p, same_on_batch=same, generator=seed(number))

    assert torch.equal(lq, before[0])
    assert torch.equal(hq, before[1])
    assert target is hq
    assert out.shape == hq.shape
    assert out.dtype == dtype
    assert out.data_ptr() not in (lq.data_ptr(), hq.data_ptr())

    large = enlarged(lq, scale)
    clean = out == hq
    assert torch.equal(torch.where(clean, hq, large), out)
    assert torch.equal(clean, clean[:, :1].expand_as(clean))
    for mask in clean[:, 0]:
        assert is_box(mask) or is_box(~mask)
        cells = mask.view(height, scale, width, scale)
        assert torch.equal(cells, cells[:, :1, :, :1].expand_as(cells))
    if alpha == 0 or p == 0:
        assert torch.equal(out, large)
    if same:
        assert torch.equal(clean, clean[:1].expand_as(clean))


def test_box_helper_knows_boxes():
    mask = torch.zeros(4, 5, dtype=torch.bool)
    assert is_box(mask)
    mask[1:3, 2:5] = True
    assert is_box(mask)
    assert box_of(mask) == (1, 2, 2, 3, True)
    assert box_of(~mask) == (1, 2, 2, 3, False)
    mask[0, 0] = True
    assert not is_box(mask)
    assert not is_box(~mask)
    assert not is_box(torch.tensor([[True, False, True]]))


@pytest.mark.parametrize("p", [0.2, 0.5, 1.0])
def test_frequency_of_p_and_of_the_two_directions(p):
    n = 4000
    taken = masks(n, 6, 6, alpha=0.5, p=p, generator=seed(0))
    used = taken.flatten(1).any(1)
    assert abs(used.double().mean().item() - p) <= 4 * math.sqrt(p * (1 - p) / n)
    into = sum(is_box(mask) for mask in taken[used]) / int(used.sum())
    assert abs(into - 0.5) < 4 * math.sqrt(0.25 / (n * p))


def test_gate_and_direction_do_not_depend_on_each_other_or_on_the_box():
    taken = masks(4000, 8, 8, alpha=0.5, p=0.5, generator=seed(1))
    boxes = [box_of(mask) for mask in taken if mask.any()]
    top, left, height, _, clean = np.array(boxes, dtype=float).T
    full = height == 4
    correlations = np.corrcoef([top[full], left[full], clean[full]])
    assert np.abs(correlations[np.triu_indices(3, 1)]).max() < 0.1


@pytest.mark.parametrize("alpha", [0.3, 0.7])
def test_both_sides_share_one_ratio_of_mean_alpha_and_deviation_one_hundredth(alpha):
    taken = masks(400, 100, 200, alpha=alpha, generator=seed(2))
    height, width = np.array([box_of(mask)[2:4] for mask in taken], dtype=float).T
    # floor takes half a pixel on average
    assert abs((height + 0.5).mean() / 100 - alpha) < 0.0025
    assert abs((width + 0.5).mean() / 200 - alpha) < 0.0025
    assert 0.008 < (width / 200).std() < 0.012
    assert np.array_equal(height, width // 2)


def test_place_is_uniform_and_reaches_every_corner():
    taken = masks(7000, 10, 10, alpha=0.45, generator=seed(3))
    boxes = np.array([box_of(mask)[:4] for mask in taken])
    boxes = boxes[(boxes[:, 2] == 4) & (boxes[:, 3] == 4)]
    assert len(boxes) > 6000
    for start in (boxes[:, 0], boxes[:, 1]):
        counts = np.bincount(start, minlength=7)
        assert len(counts) == 7
        expected = len(start) / 7
        # 99.99th percentile of chi-squared with 6 degrees of freedom
        assert ((counts - expected) ** 2 / expected).sum() < 27.9


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 2**12 - 1, 2**12, 2**12 + 1, 3 * 2**11])
@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.7, 1.0])
def test_a_box_at_the_last_place_is_still_inside(size, ratio):
    last = torch.nextafter(torch.tensor([1.0]), torch.tensor([0.0]))
    start, end = span(torch.tensor([ratio]), last, size)
    length = math.floor(np.float32(ratio) * np.float32(size))
    assert (int(start), int(end)) == (size - length, size)


def test_alpha_one_is_all_or_nearly_all_of_the_picture():
    taken = masks(500, 20, 20, alpha=1, generator=seed(4))
    boxes = [mask if is_box(mask) else ~mask for mask in taken]
    whole = sum(bool(mask.all()) or not bool(mask.any()) for mask in taken)
    assert 200 < whole < 300
    assert min(int(mask.sum()) for mask in boxes if mask.any()) >= 18 * 18


def test_one_pixel_pictures():
    taken = masks(300, 1, 1, scale=3, alpha=0.5, generator=seed(5)).flatten(1)
    assert torch.equal(taken.all(1), taken.any(1))
    assert 100 < int(taken.all(1).sum()) < 200


def test_samples_differ_unless_one_draw_is_asked_for():
    each = masks(16, 12, 12, generator=seed(6))
    assert len({tuple(mask.flatten().tolist()) for mask in each}) > 12
    shared = masks(16, 12, 12, same_on_batch=True, generator=seed(6))
    assert torch.equal(shared, shared[:1].expand_as(shared))
    assert shared[0].any()


def test_same_on_batch_draws_again_for_each_batch():
    generator = seed(7)
    used = [bool(masks(3, 6, 6, p=0.5, same_on_batch=True, generator=generator).any()) for _ in range(400)]
    assert 160 < sum(used) < 240


def test_same_generator_same_result():
    lq, hq = pair(4, scale=3)
    first, again, other = (cutblur(lq, hq, generator=seed(number))[0] for number in (8, 8, 9))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_boxes_are_those_of_the_lr_picture_whatever_the_scale_and_dtype():
    single = masks(8, 9, 7, generator=seed(10))
    for scale in (2, 4):
        taken = masks(8, 9, 7, scale, generator=seed(10))
        assert torch.equal(taken[:, ::scale, ::scale], single)
    lq, hq = pair(8, 1, 9, 7, 1, torch.bfloat16)
    assert torch.equal(cutblur(lq, hq, generator=seed(10))[0][:, 0] == hq[:, 0], single)


def test_how_many_numbers_are_drawn_depends_on_nothing_but_the_batch():
    states = []
    for options in ({}, {"p": 0}, {"p": 0.5}, {"alpha": 0}, {"alpha": 1}):
        generator = seed(11)
        masks(5, 4, 4, generator=generator, **options)
        states.append(generator.get_state())
    assert all(torch.equal(state, states[0]) for state in states)
    assert not torch.equal(states[0], seed(11).get_state())


def test_a_generator_leaves_the_global_stream_alone():
    state = torch.get_rng_state()
    masks(2, 4, 4, generator=seed(0))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("scale", [1, 3])
def test_gradient_reaches_both(scale):
    lq, hq = pair(2, 1, 3, 2, scale, torch.float64)
    lq.requires_grad_()
    hq.requires_grad_()
    assert gradcheck(lambda lq, hq: cutblur(lq, hq, generator=seed(12))[0], (lq, hq))
    taken = masks(2, 3, 2, scale, generator=seed(12)).unsqueeze(1)
    out, _ = cutblur(lq, hq, generator=seed(12))
    grad_lq, grad_hq = torch.autograd.grad(out.sum(), (lq, hq))
    assert torch.equal(grad_hq, taken.double())
    assert grad_lq.sum() == (~taken).sum()


@pytest.mark.parametrize("scale", [1, 2])
def test_memory_layout_does_not_matter(scale):
    lq, hq = pair(4, scale=scale)
    layout = {"memory_format": torch.channels_last}
    out, _ = cutblur(lq.contiguous(**layout), hq.contiguous(**layout), generator=seed(13))
    assert torch.equal(out, cutblur(lq, hq, generator=seed(13))[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_cpu_generator_gives_the_same_on_cuda():
    lq, hq = pair(4)
    here, _ = cutblur(lq, hq, generator=seed(14))
    there, _ = cutblur(lq.cuda(), hq.cuda(), generator=seed(14))
    assert torch.equal(there.cpu(), here)


LQ, HQ = torch.zeros(2, 3, 4, 6), torch.zeros(2, 3, 8, 12)


@pytest.mark.parametrize("name", ["alpha", "p"])
@pytest.mark.parametrize(
    ("value", "error"),
    [(-0.1, ValueError), (1.01, ValueError), (math.nan, ValueError), ("1", TypeError), (None, TypeError)],
)
def test_bad_number(name, value, error):
    with pytest.raises(error, match=rf"{name} must be"):
        cutblur(LQ, HQ, **{name: value})


@pytest.mark.parametrize(
    ("lq", "hq", "error", "match"),
    [
        (LQ, torch.zeros(2, 3, 9, 12), ValueError, "one integer"),
        (LQ, torch.zeros(2, 3, 8, 13), ValueError, "one integer"),
        (LQ, torch.zeros(2, 3, 8, 18), ValueError, "one integer"),
        (LQ, torch.zeros(2, 3, 6, 9), ValueError, "one integer"),
        (HQ, LQ, ValueError, "one integer"),
        (LQ[:1], HQ, ValueError, "batch size"),
        (LQ[:, :1], HQ, ValueError, "channels"),
        (LQ, HQ.double(), ValueError, "dtype"),
        (LQ, HQ.to("meta"), ValueError, "device"),
        (LQ[0], HQ[0], ValueError, "lq must have 4 dimensions"),
        (LQ, HQ[0], ValueError, "hq must have 4 dimensions"),
        (LQ.int(), HQ.int(), TypeError, "floating-point"),
        (LQ, HQ.to(torch.uint8), TypeError, "hq must be a real floating-point"),
        (LQ.to(torch.complex64), HQ.to(torch.complex64), TypeError, "floating-point"),
        (LQ[:, :, :0], HQ[:, :, :0], ValueError, "empty"),
        (LQ.numpy(), HQ, TypeError, "torch.Tensor"),
    ],
)
def test_bad_pair(lq, hq, error, match):
    with pytest.raises(error, match=match):
        cutblur(lq, hq)


def test_bad_generator():
    with pytest.raises(TypeError, match="generator"):
        cutblur(LQ, HQ, generator=0)


@pytest.mark.parametrize("scale", [1, 3])
def test_the_decisions_say_what_was_done(scale):
    lq, hq = torch.zeros(40, 1, 7, 9), torch.ones(40, 1, 7 * scale, 9 * scale)
    out, _, params = cutblur(lq, hq, alpha=0.6, p=0.5, generator=seed(15), return_params=True)
    assert params.size == (7, 9)
    assert set(params.applied.tolist()) == set(params.inside.tolist()) == {False, True}
    for picture, applied, box, inside in zip(out[:, 0], params.applied, params.box, params.inside, strict=True):
        top, left, bottom, right = (box * scale).tolist()
        expected = torch.zeros_like(picture)
        if applied:
            expected += not inside
            expected[top:bottom, left:right] = float(inside)
        assert torch.equal(picture, expected)
