"""The contract's base class, and the dry run that its numbers come from."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from restorekit.models import Restorer


class Net(Restorer):
    def __init__(self, body, scales=(1,), size_multiple=1):
        super().__init__(scales, size_multiple=size_multiple, in_channels=2, config={})
        self.body = body

    def forward(self, x, scale=None):
        self.pick_scale(scale)
        return self.body(x)


class Layers(nn.Module):
    """Any function over convolutions."""

    def __init__(self, run, *convs):
        super().__init__()
        self.convs = nn.ModuleList(convs)
        self.run = run

    def forward(self, x):
        return self.run(x, *self.convs)


def conv(inputs, outputs, kernel=3, **options):
    return nn.Conv2d(inputs, outputs, kernel, padding="same" if "stride" not in options else kernel // 2, **options)


def test_base_class_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        Restorer((1,), size_multiple=1, in_channels=3, config={})


def test_scales_ascend_and_a_single_one_is_the_scale():
    assert Net(nn.Identity(), (4, 2, 3)).scales == (2, 3, 4)
    assert Net(nn.Identity(), (4, 2, 3)).scale is None
    assert Net(nn.Identity(), (3,)).scale == 3


def test_pick_scale():
    assert Net(nn.Identity(), (3,)).pick_scale(None) == 3
    assert Net(nn.Identity(), (2, 3)).pick_scale(2) == 2


@pytest.mark.parametrize("scale", [0, 4, 2.0, "2", (2,), 2.5])
def test_pick_scale_refuses_what_is_not_offered_and_lists_the_known(scale):
    with pytest.raises(ValueError, match=r"network's scales \(2, 3\), got"):
        Net(nn.Identity(), (2, 3)).pick_scale(scale)


# The dry run: convolutions


def test_trace_counts_convolutions_with_groups_repeats_and_resolution():
    grouped, plain = conv(2, 4, groups=2), conv(4, 8, 1)
    last = conv(2, 3)
    body = Layers(lambda x, a, b, c: c(F.pixel_shuffle(b(a(x)) + b(a(x)), 2)), grouped, plain, last)
    seen = Net(body, (2,)).trace()
    weights = [4 * 1 * 9, 8 * 4, 4 * 1 * 9, 8 * 4, 3 * 2 * 9]
    assert [c.weights for c in seen.convolutions] == weights
    assert [c.reach for c in seen.convolutions] == [1, 0, 1, 0, 1]
    assert {c.side_in for c in seen.convolutions[:4]} == {seen.side}
    assert seen.convolutions[4].side_out == 2 * seen.side
    assert seen.multadds_per_pixel == Fraction(sum(weights[:4]) + 4 * weights[4])


def test_trace_counts_strided_convolutions_at_their_output():
    seen = Net(Layers(lambda x, a: a(x), conv(2, 5, stride=2))).trace()
    assert seen.multadds_per_pixel == Fraction(5 * 2 * 9, 4)


def test_trace_runs_the_scale_that_is_asked_for():
    class Two(Net):
        def forward(self, x, scale=None):
            return self.body.convs[0](x) if self.pick_scale(scale) == 1 else self.body.convs[1](x)

    model = Two(Layers(None, conv(2, 2, 3), conv(2, 2, 7)), (1, 2))
    assert model.trace(1).multadds_per_pixel == 2 * 2 * 9
    assert model.trace(2).multadds_per_pixel == 2 * 2 * 49
    assert [model.trace(scale).receptive_radius for scale in (1, 2)] == [1, 3]
    assert model.receptive_radius == 3
    with pytest.raises(ValueError, match="network's scales"):
        model.trace()


# The dry run: receptive radius, against where a NaN gets


def measured_radius(model, side=48):
    reach = 0
    for place in range(side // 2, side // 2 + 4):  # strides and shuffles see the four places differently
        x = torch.zeros(1, 2, side, 1)
        x[:, :, place] = float("nan")
        with torch.inference_mode():
            out = model(x.expand(1, 2, side, 12))
        rows = out.isnan().any(dim=1)[0].any(dim=1).nonzero().flatten() * side // out.shape[2]
        reach = max(reach, place - rows.min().item(), rows.max().item() - place)
    return reach


@given(
    kernels=st.lists(st.sampled_from([1, 3, 5]), min_size=1, max_size=4), dilation=st.integers(1, 3), skip=st.booleans()
)
def test_radius_of_a_chain_is_exact(kernels, dilation, skip):
    def run(x, *convs):
        for layer in convs:
            x = layer(x).relu() + x if skip else layer(x)
        return x

    model = Net(Layers(run, *(conv(2, 2, kernel, dilation=dilation) for kernel in kernels)))
    assert model.receptive_radius == measured_radius(model) == sum(k // 2 for k in kernels) * dilation


@pytest.mark.parametrize("factor", [2, 4])
def test_radius_behind_a_shuffle_is_in_input_pixels(factor):
    model = Net(Layers(lambda x, a, b: b(F.pixel_shuffle(a(x), factor)), conv(2, 2 * factor**2), conv(2, 2)), (factor,))
    assert model.receptive_radius == measured_radius(model) == 2


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_radius_covers_a_network_that_works_on_a_coarser_grid(factor):
    def run(x, a, b):
        return F.pixel_shuffle(b(a(F.pixel_unshuffle(x, factor))), factor)

    model = Net(Layers(run, conv(2 * factor**2, 4), conv(4, 2 * factor**2)), size_multiple=factor)
    assert model.trace().side % factor == 0
    assert measured_radius(model) <= model.receptive_radius <= measured_radius(model) + factor


# The dry run: memory, and what it leaves alone


def test_peak_memory_is_the_largest_sum_alive_at_once():
    """The picture is the caller's; conv 2 -> 8 and conv 8 -> 4 hold 8 + 4 channels at most, conv 4 -> 1 only 4 + 1."""
    convs = [conv(2, 8), conv(8, 4), conv(4, 1)]
    seen = Net(nn.Sequential(*convs)).trace()
    assert seen.peak_bytes == (8 + 4) * seen.side**2 * 4
    assert Net(nn.Sequential(*convs)).bfloat16().trace().peak_bytes == seen.peak_bytes / 2


def test_peak_memory_ignores_views_and_work_in_place():
    def run(x, a):
        return a(x).relu_().flatten(2).unflatten(2, x.shape[2:])[:, :, 1:]

    seen = Net(Layers(run, conv(2, 8))).trace()
    assert seen.peak_bytes == 8 * seen.side**2 * 4


def test_peak_memory_holds_what_a_skip_keeps():
    seen = Net(Layers(lambda x, a, b: (y := a(x)) + b(y), conv(2, 8), conv(8, 8))).trace()
    assert seen.peak_bytes == 3 * 8 * seen.side**2 * 4


def test_a_dry_run_costs_nothing_and_changes_nothing():
    model = Net(nn.Sequential(conv(2, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), conv(3, 2))).train()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    model.trace()
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert all(tensor.device.type == "cpu" for tensor in model.state_dict().values())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_dry_run_works_in_any_dtype(dtype):
    assert Net(conv(2, 2)).to(dtype).receptive_radius == 1


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_a_dry_run_sees_the_same_in_every_mode(mode):
    expected = Net(conv(2, 2)).trace()
    with mode():
        model = Net(conv(2, 2))  # in inference mode its weights are inference tensors
        seen = model.trace()
    assert (seen.convolutions, seen.peak_bytes) == (expected.convolutions, expected.peak_bytes)
    assert model.trace().convolutions == expected.convolutions


class Padded(Restorer):
    def __init__(self):
        super().__init__((2,), size_multiple=4, in_channels=2, config={})
        self.up = nn.ConvTranspose2d(2, 2, 2, stride=2)

    def forward(self, x, scale=None):
        return self.crop(self.up(self.pad(x)), x, 2)


@pytest.mark.parametrize("size", [(4, 8), (5, 6)])
def test_an_exported_network_pads_and_crops_any_size(size):
    """Whether the picture at hand in the export needs padding or not."""
    model = Padded()
    free = torch.export.Dim.DYNAMIC
    exported = torch.export.export(model, (torch.rand(1, 2, *size),), dynamic_shapes=({2: free, 3: free},))
    for other in [(4, 8), (5, 8), (4, 7), (6, 7), (9, 9)]:
        x = torch.rand(1, 2, *other)
        assert torch.allclose(exported.module()(x), model(x), atol=1e-6)
