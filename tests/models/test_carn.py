import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from models import published
from models.published import PARITY, assert_parity, picture, published_weights

from restorekit.models import CARN, carn, carn_m, load_checkpoint

SMALL = {"channels": 4, "blocks": 2, "units": 2}


def count(model, *, biases=True):
    return sum(p.numel() for p in model.parameters() if biases or p.ndim == 4)


def weightless(build, *arguments, **options):
    with torch.device("meta"):
        return build(*arguments, **options)


# What the published networks compute


def published_network(layout, tmp_path):
    torch.save(published_weights(layout), tmp_path / "published.pth")
    return load_checkpoint(tmp_path / "published.pth")


@pytest.mark.parametrize("name", ["carn", "carn_m"])
def test_equals_the_published_networks(name, tmp_path):
    model = published_network(getattr(published, name)(), tmp_path)
    with torch.inference_mode():
        for scale in (2, 3, 4):
            assert_parity(model(picture(), scale=scale), PARITY[f"{name} x{scale}"])


def test_equals_the_published_single_scale_network(tmp_path):
    with torch.inference_mode():
        assert_parity(published_network(published.carn(single=4), tmp_path)(picture()), PARITY["carn single x4"])


def test_equals_pcarn(tmp_path):
    with torch.inference_mode():
        assert_parity(published_network(published.pcarn(), tmp_path)(picture(), scale=3), PARITY["pcarn x3"])


def test_equals_cutblurs_network_which_works_on_0_to_255(tmp_path):
    enlarged = picture().repeat_interleave(4, 2).repeat_interleave(4, 3)
    with torch.inference_mode():
        assert_parity(published_network(published.cutblur(4), tmp_path)(enlarged) * 255, PARITY["cutblur x4"], 5e-5)


# Sizes, as the papers print them


def test_published_sizes():
    assert count(weightless(carn, (2, 3, 4))) == 1_591_939
    assert count(weightless(carn, (2, 3, 4)), biases=False) == 1_588_608
    assert count(weightless(carn_m, (2, 3, 4))) == 414_787
    assert count(weightless(carn_m, (2, 3, 4)), biases=False) == 412_032


@pytest.mark.parametrize(
    ("local", "globally", "expected"),
    [(False, False, 963_651), (True, False, 1_074_819), (False, True, 1_000_707), (True, True, 1_111_875)],
)
def test_sizes_of_the_ablation_in_table_2_1(local, globally, expected):
    model = weightless(carn, 4, local_cascade=local, global_cascade=globally)
    assert count(model) == expected
    assert count(weightless(carn, 4, local_cascade=local, global_cascade=globally, global_skip=True)) == expected


@pytest.mark.parametrize(
    ("scale", "total", "weights"),
    [(2, 964_163, 961_920), (3, 1_148_803, 1_146_240), (4, 1_111_875, 1_109_376), (8, 1_259_587, 1_256_832)],
)
def test_sizes_of_single_scale_networks(scale, total, weights):
    model = weightless(carn, scale)
    assert (count(model), count(model, biases=False)) == (total, weights)


@pytest.mark.parametrize(("scale", "total"), [(1, 816_451), (2, 969_347), (3, 1_162_627), (4, 1_137_795)])
def test_sizes_of_cutblurs_network(scale, total):
    assert count(weightless(carn, scale, head="desubpixel")) == total


@pytest.mark.parametrize(
    ("build", "gigas"), [(carn, {2: 222.82, 3: 118.79, 4: 90.87}), (carn_m, {2: 91.17, 3: 46.12, 4: 32.48})]
)
def test_published_multiply_adds_for_a_720p_picture(build, gigas):
    model = weightless(build, (2, 3, 4))
    for scale, expected in gigas.items():
        pixels = 1280 * 720 / scale**2
        assert float(model.trace(scale).multadds_per_pixel) * pixels / 1e9 == pytest.approx(expected, abs=0.005)


# Receptive radius, measured: a NaN in the picture reaches every output that depends on it, whatever the weights


def measured_radius(model, scale, side=59):
    center = side // 2
    x = torch.zeros(1, 3, side, side)
    x[..., center, center] = float("nan")
    with torch.inference_mode():
        touched = model(x, scale=scale).isnan().any(dim=1)[0]
    rows = touched.any(dim=1).nonzero().flatten() // scale
    columns = touched.any(dim=0).nonzero().flatten() // scale
    assert rows.min() > 0
    assert rows.max() < side - 1
    assert torch.equal(rows, columns)
    return max(center - rows.min().item(), rows.max().item() - center)


@pytest.mark.parametrize("build", [carn, carn_m])
def test_receptive_radius_is_the_measured_one(build):
    model = build((2, 3, 4), channels=4)
    assert [measured_radius(model, scale) for scale in (2, 3, 4)] == [21, 21, 21]
    assert model.receptive_radius == 21


@pytest.mark.parametrize("options", [{"blocks": 1}, {"units": 1}, {"local_cascade": False, "global_cascade": False}])
def test_receptive_radius_follows_the_structure(options):
    model = carn(2, **{"channels": 2, **options})
    assert model.receptive_radius == measured_radius(model, 2) > 0


@pytest.mark.parametrize(("scale", "claimed"), [(2, 43), (4, 87)])
def test_receptive_radius_of_a_desubpixel_head_covers_the_measured_one(scale, claimed):
    model = carn(scale, channels=2, head="desubpixel")
    assert model.receptive_radius == claimed
    side = scale * 49
    for offset in range(scale):
        x = torch.zeros(1, 3, side, 1 + 8 * scale)
        x[..., side // 2 + offset, :] = float("nan")
        with torch.inference_mode():
            rows = model(x).isnan().any(dim=1)[0].any(dim=1).nonzero().flatten()
        reach = max(side // 2 + offset - rows.min().item(), rows.max().item() - side // 2 - offset)
        assert claimed - 2 * scale < reach <= claimed


# Behaviour


@given(height=st.integers(1, 9), width=st.integers(1, 9), scale=st.sampled_from([1, 2, 3, 4, 8]))
def test_output_is_exactly_scale_times_the_input(height, width, scale):
    model = CARN((1, 2, 3, 4, 8), **SMALL)
    x = torch.rand(2, 3, height, width)
    before = x.clone()
    assert model(x, scale=scale).shape == (2, 3, height * scale, width * scale)
    assert torch.equal(x, before)


@given(height=st.integers(1, 9), width=st.integers(1, 9), scale=st.sampled_from([1, 2, 3, 4, 8]))
def test_desubpixel_head_keeps_the_size_and_pads_by_repeating_the_edge(height, width, scale):
    model = CARN(scale, **SMALL, head="desubpixel")
    x = torch.rand(1, 3, height, width)
    out = model(x)
    assert out.shape == x.shape
    padded = F.pad(x, (0, -width % scale, 0, -height % scale), mode="replicate")
    assert torch.allclose(out, model(padded)[..., :height, :width], atol=1e-6)


def test_scales_and_sizes_are_declared():
    several = CARN((4, 2), **SMALL)
    assert (several.scales, several.scale, several.size_multiple, several.in_channels) == ((2, 4), None, 1, 3)
    single = CARN(3, **SMALL)
    assert (single.scales, single.scale) == ((3,), 3)
    folded = CARN(4, **SMALL, head="desubpixel")
    assert (folded.scales, folded.scale, folded.size_multiple) == ((1,), 1, 4)


def test_each_scale_has_weights_of_its_own():
    model = CARN((2, 4), **SMALL)
    assert {key.split(".")[1] for key in model.state_dict() if key.startswith("upsamplers.")} == {"2", "4"}
    model(torch.rand(1, 3, 3, 3), scale=4).sum().backward()
    assert all(p.grad is None for p in model.upsamplers["2"].parameters())
    assert all(p.grad is not None for p in model.upsamplers["4"].parameters())


def test_a_single_scale_may_be_given_or_left_out():
    model, x = CARN(2, **SMALL), torch.rand(1, 3, 3, 4)
    assert torch.equal(model(x), model(x, scale=2))


@pytest.mark.parametrize("option", ["fusion_relu", "unit_relu", "upsampler_relu", "global_skip"])
def test_options_change_what_is_computed_with_the_same_weights(option):
    first = CARN(2, **SMALL, init="he-normal")
    second = CARN(2, **SMALL, **{option: not first.config[option]})
    second.load_state_dict(first.state_dict())
    x = torch.rand(1, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(first(x), second(x))


def test_mean_is_taken_off_and_put_back():
    model = CARN(2, **SMALL, mean=(0.1, 0.2, 0.3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.allclose(model(torch.rand(1, 3, 2, 2))[0, :, 0, 0], torch.tensor([0.1, 0.2, 0.3]))
    grey = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    started = CARN(2, **SMALL, mean=(0.1, 0.2, 0.3))  # biases start at zero, so that nothing but the mean is left
    assert torch.allclose(started(grey), grey.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-6)


def test_initial_weights_follow_the_name():
    torch.manual_seed(0)
    model = CARN(2, channels=16, blocks=1, units=1, init="uniform-0.1")
    bound = 0.1 / (16 * 9) ** 0.5
    weight = model.body.blocks[0].blocks[0].conv1.weight
    assert 0.99 * bound < weight.abs().max() <= bound * (1 + 1e-6)
    assert not model.exit.bias.any()


def test_recursion_shares_units_inside_each_block_only():
    model = CARN(2, **SMALL, recursive=True)
    assert [len(block.blocks) for block in model.body.blocks] == [1, 1]
    assert model.body.blocks[0].blocks[0] is not model.body.blocks[1].blocks[0]
    assert [len(block.fusions) for block in model.body.blocks] == [2, 2]


def test_gradient():
    model = CARN(2, channels=2, blocks=1, units=1, init="he-normal").double()
    x = torch.rand(1, 3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


# Bad input


@pytest.mark.parametrize("scale", [0, 5, 2.5, "4", True, (), (2, 2), -2, None, 2.0, (2, 5), [2, "3"], (2, True)])
def test_refuses_scales_that_are_not_offered(scale):
    with pytest.raises(ValueError, match="scale must"):
        carn(scale)


@pytest.mark.parametrize("name", ["channels", "blocks", "units", "groups"])
def test_refuses_sizes_below_one(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        carn(2, **{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        carn(2, **{name: 2.0})


def test_refuses_options_that_are_not_offered():
    with pytest.raises(ValueError, match="multiple of groups, got 6 channels and 4 groups"):
        carn_m(2, channels=6)
    with pytest.raises(ValueError, match="head must be one of conv, desubpixel, got 'pixel'"):
        carn(2, head="pixel")
    with pytest.raises(ValueError, match="head='desubpixel' takes a single scale"):
        carn((2, 3), head="desubpixel")
    with pytest.raises(ValueError, match=r"init must be one of uniform, .*, got 'zeros'"):
        carn(2, init="zeros")
    with pytest.raises(ValueError, match="one value for each of the 3 channels"):
        carn(2, mean=(0.5,))
    with pytest.raises(TypeError, match="chanels"):
        carn(2, chanels=8)


def test_several_scales_need_a_choice():
    model = CARN((2, 3), **SMALL)
    with pytest.raises(ValueError, match=r"scale must be one of the network's scales \(2, 3\), got None"):
        model(torch.rand(1, 3, 4, 4))


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.rand(3, 4, 4), ValueError, "4 dimensions"),
        (torch.rand(1, 1, 3, 4, 4), ValueError, "4 dimensions"),
        (torch.rand(1, 1, 4, 4), ValueError, "3 channels"),
        (torch.rand(1, 4, 4, 4), ValueError, "3 channels"),
        (torch.rand(0, 3, 4, 4), ValueError, "must not be empty"),
        (torch.rand(1, 3, 0, 4), ValueError, "must not be empty"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), TypeError, "floating-point"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.complex64), TypeError, "floating-point"),
        ([[0.5]], TypeError, "torch.Tensor"),
    ],
)
@pytest.mark.parametrize("head", ["conv", "desubpixel"])
def test_refuses_what_is_no_batch_of_pictures(x, error, message, head):
    with pytest.raises(error, match=message):
        CARN(2, **SMALL, head=head)(x)


def test_a_desubpixel_network_says_how_it_comes_to_enlarge():
    model = carn(scale=4, channels=8, head="desubpixel")
    with pytest.raises(ValueError, match=r"\(1\), got 4; models.fold_desubpixel makes it enlarge"):
        model.pick_scale(4)


def test_another_dtype_is_refused_except_under_autocast():
    model = carn(scale=2, channels=8)
    with pytest.raises(TypeError, match=r"dtype of the weights, torch\.float32, got torch\.float64"):
        model(torch.rand(1, 3, 5, 5, dtype=torch.float64))
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.rand(1, 3, 5, 5, dtype=torch.bfloat16)).shape == (1, 3, 10, 10)
