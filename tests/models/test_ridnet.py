import pytest
import torch
from models.published import assert_parity, picture, published_weights
from models.published_ridnet import ridnet as layout
from models.reading import (
    assert_damage_is_named,
    assert_half_precision_read,
    assert_others_do_not_match,
    assert_read,
    shapes,
    skeleton,
    write,
)

from restorekit.models import RIDNet, load_checkpoint, ridnet

SMALL = {"channels": 8, "blocks": 2, "reduction": 4}
# What the authors' module returns for a picture of 32 x 32 px in 0 to 255, see published.PARITY.
PARITY = ((32, 32), 247.13825839633742, 93.46141611949841, (270.718628, 154.34613, 357.234985))


def weightless(**options):
    with torch.device("meta"):
        return ridnet(**options)


# What the published network computes


def test_equals_the_published_network(tmp_path):
    model = load_checkpoint(write(published_weights(layout()), tmp_path))
    with torch.inference_mode():
        assert_parity(255 * model(picture(32, 32)), PARITY, 1e-3)


def test_mean_shifts_that_were_trained_are_folded_exactly(tmp_path):
    """The file's network is y = x + A exit(...) + a with entry(W x + b); the library has no such convolutions."""
    state = published_weights(layout(**SMALL))
    trained = dict(state)
    for name in ("sub_mean", "add_mean"):
        noise = torch.randn(3, 3, 1, 1, generator=torch.Generator().manual_seed(0)) / 20
        trained |= {f"{name}.weight": state[f"{name}.weight"] + noise, f"{name}.bias": 0.9 * state[f"{name}.bias"]}
    plain = load_checkpoint(write(state, tmp_path)).double()
    model = load_checkpoint(write(trained, tmp_path)).double()
    x = picture(5, 6).double()

    def shift(name, y):
        weight = trained[f"{name}.weight"].double()
        return torch.nn.functional.conv2d(y, weight, trained[f"{name}.bias"].double())

    mean = torch.tensor(plain.config["mean"], dtype=torch.float64).view(1, 3, 1, 1)
    padded = shift("sub_mean", 255 * x) / 255 + mean  # a picture whose plain mean shift gives the trained one's result
    residual = (plain(padded) - padded - mean) * 255
    expected = x + shift("add_mean", residual) / 255
    assert (model(x) - expected).abs().max() < 1e-5 * expected.abs().max()


def test_published_size():
    """Without the 24 values of the mean shifts, which are constants here."""
    assert sum(p.numel() for p in weightless().parameters()) == 1_499_371 - 24


def test_branches_reach_as_far_as_their_dilations_say():
    block = RIDNet(**SMALL).body[0]
    x = torch.zeros(1, 8, 1, 31)
    x[..., 15] = float("nan")
    for branch, reach in ((block.near, 1 + 2), (block.far, 3 + 4)):
        columns = branch(x).isnan().any(dim=1)[0, 0].nonzero().flatten()
        assert (columns.min().item(), columns.max().item()) == (15 - reach, 15 + reach)


# Reading the published file


@pytest.mark.parametrize("options", [SMALL, {**SMALL, "blocks": 3, "reduction": 2}])
def test_reads_a_file_and_what_it_says_about_its_network(options, tmp_path):
    assert_read(layout(**options), ridnet(**options), tmp_path)


def test_reads_the_published_network_from_its_keys_and_shapes(tmp_path):
    model = load_checkpoint(write(published_weights(layout()), tmp_path))
    assert model.config == weightless().config
    assert shapes(model.state_dict()) == shapes(weightless().state_dict())


def test_names_what_is_wrong_with_a_file(tmp_path):
    assert_damage_is_named(layout(**SMALL), "b2.r3.body.4.weight", tmp_path)
    without = published_weights({k: v for k, v in layout(**SMALL).items() if k != "sub_mean.bias"})
    with pytest.raises(ValueError, match=r"misses the key 'sub_mean\.bias'"):
        load_checkpoint(write(without, tmp_path))


def test_reads_half_precision(tmp_path):
    assert_half_precision_read(layout(**SMALL), tmp_path)


def test_files_of_other_networks_do_not_match():
    assert_others_do_not_match(RIDNet)
    assert not RIDNet.layouts[0].matches(skeleton({"tail.weight": (3, 8, 3, 3)}))


# Behaviour


def test_sizes_and_scale_are_declared():
    model = RIDNet(**SMALL)
    assert (model.scale, model.size_multiple, model.in_channels, model.receptive_radius) == (1, 1, 3, None)
    assert model(torch.rand(1, 3, 1, 1)).shape == (1, 3, 1, 1)


def test_the_picture_and_the_mean_are_added():
    model, x = RIDNet(**SMALL, mean=(0.1, 0.2, 0.3)), torch.rand(2, 3, 4, 5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.allclose(model(x), x + torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))


def test_gradient():
    model = RIDNet(channels=2, blocks=1, reduction=1).double()
    x = torch.rand(1, 3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


@pytest.mark.parametrize("name", ["channels", "blocks", "reduction"])
def test_refuses_what_is_no_size(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        ridnet(**{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        ridnet(**{name: 2.0})


def test_refuses_options_that_do_not_fit():
    with pytest.raises(ValueError, match="channels must be at least reduction"):
        ridnet(channels=8)
    with pytest.raises(ValueError, match="one value for each of the 3 channels"):
        ridnet(mean=(0.5,))


def test_refuses_what_is_no_batch_of_its_pictures():
    with pytest.raises(ValueError, match="3 channels"):
        RIDNet(**SMALL)(torch.rand(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"network's scales \(1\), got 2"):
        RIDNet(**SMALL)(torch.rand(1, 3, 4, 4), scale=2)
