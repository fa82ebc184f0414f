import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restorekit.models import CARN, EDSR, RCAN, carn_m, fold_desubpixel


def enlarged(x, scale):
    return x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


def network(scale, dtype=torch.float64, **options):
    defaults = {"channels": 8, "blocks": 1, "units": 2, "head": "desubpixel", "init": "he-normal"}
    return CARN(scale, **{**defaults, **options}).to(dtype)


@given(
    scale=st.sampled_from([1, 2, 3, 4, 8]), height=st.integers(1, 6), width=st.integers(1, 6), seed=st.integers(0, 99)
)
def test_equals_enlarging_and_running(scale, height, width, seed):
    torch.manual_seed(seed)
    model = network(scale, global_skip=True, unit_relu=False, upsampler_relu=False, mean=(0.3, 0.5, 0.7))
    torch.nn.init.normal_(model.entry.bias)
    x = torch.rand(2, 3, height, width, dtype=torch.float64)
    folded = fold_desubpixel(model)
    assert (folded.scale, folded.size_multiple) == (scale, 1)
    assert torch.allclose(folded(x), model(enlarged(x, scale)), rtol=0, atol=1e-12)


OTHERS = {
    "edsr": lambda scale, **options: EDSR(scale, channels=8, blocks=2, res_scale=0.5, head="desubpixel", **options),
    # It averages over the picture: over the folded one, which enlarging leaves as it is.
    "rcan": lambda scale, **options: RCAN(
        scale, channels=8, residual_groups=2, blocks=2, reduction=2, head="desubpixel", **options
    ),
}


@pytest.mark.parametrize("build", OTHERS.values(), ids=OTHERS)
@given(
    scale=st.sampled_from([1, 2, 3, 4, 8]), height=st.integers(1, 6), width=st.integers(1, 6), colours=st.integers(1, 4)
)
def test_other_networks_equal_enlarging_and_running_too(build, scale, height, width, colours):
    torch.manual_seed(scale)
    model = build(scale, in_channels=colours, mean=[0.1 * (c + 1) for c in range(colours)]).double()
    x = torch.rand(2, colours, height, width, dtype=torch.float64)
    folded = fold_desubpixel(model)
    assert type(folded) is type(model)
    assert (folded.scale, folded.size_multiple) == (scale, 1)
    assert torch.allclose(folded(x), model(enlarged(x, scale)), rtol=0, atol=1e-12)


def test_equals_to_1e_6_in_float32_at_full_size():
    model = carn_m(4, head="desubpixel").eval()
    x = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(fold_desubpixel(model)(x), model(enlarged(x, 4)), rtol=0, atol=1e-6)


def test_leaves_the_network_as_it_is():
    model = network(2)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    folded = fold_desubpixel(model)
    with torch.no_grad():
        for parameter in folded.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert model.config["head"] == "desubpixel"
    assert folded.config == {**model.config, "head": "conv"}


def test_copies_are_added_up_with_one_rounding():
    model = network(4, torch.float32)
    weight = model.entry.weight.detach().double()
    exact = torch.stack([weight[:, colour::3].sum(dim=1) for colour in range(3)], dim=1)
    assert torch.equal(fold_desubpixel(model).entry.weight, exact.float())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_mode_and_dtype(training, dtype):
    folded = fold_desubpixel(network(2, dtype).train(training))
    assert folded.training is training
    assert {tensor.dtype for tensor in folded.state_dict().values()} == {dtype}
    assert folded.take_mean.shift.dtype == dtype


def test_refuses_networks_without_the_head():
    with pytest.raises(ValueError, match="model must have a desubpixel head, got a CARN"):
        fold_desubpixel(CARN(2, channels=4))
    with pytest.raises(ValueError, match="model must have a desubpixel head"):
        fold_desubpixel(fold_desubpixel(network(2)))
    with pytest.raises(TypeError, match=r"network of restorekit\.models, got Conv2d"):
        fold_desubpixel(torch.nn.Conv2d(1, 1, 1))


def test_draws_nothing_from_the_callers_stream_and_keeps_what_is_frozen():
    model = network(2)
    model.body.requires_grad_(False)
    state = torch.get_rng_state()
    folded = fold_desubpixel(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: p.requires_grad for name, p in folded.named_parameters()} == {
        name: p.requires_grad for name, p in model.named_parameters()
    }
