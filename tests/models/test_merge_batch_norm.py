import pytest
import torch
from torch import nn

from restorekit.models import DnCNN, Restorer, dncnn, merge_batch_norm


class Unit(nn.Module):
    """Two numbered pairs; convolutions have biases only where there is no BatchNorm."""

    def __init__(self, channels, batch_norm):
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1, bias=not batch_norm) for _ in range(2))
        self.norm1, self.norm2 = (nn.BatchNorm2d(channels) if batch_norm else nn.Identity() for _ in range(2))

    def forward(self, x):
        return x + self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))


class Net(Restorer):
    """Pairs without biases, inside units and at the top."""

    def __init__(self, channels=4, *, batch_norm=True):
        config = {"channels": channels, "batch_norm": batch_norm}
        super().__init__([1], size_multiple=1, in_channels=channels, config=config)
        self.body = nn.Sequential(Unit(channels, batch_norm), Unit(channels, batch_norm))
        self.body_conv = nn.Conv2d(channels, channels, 1, groups=2, bias=not batch_norm)
        self.body_norm = nn.BatchNorm2d(channels) if batch_norm else nn.Identity()

    def forward(self, x, scale=None):
        return self.body_norm(self.body_conv(self.body(x)))


def trained(model, dtype=torch.float64):
    """Every statistic and every weight away from its initial value."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.copy_(0.5 * torch.randn(tensor.shape, generator=generator))
        for name, tensor in model.named_buffers():
            if name.endswith("running_var"):
                tensor.copy_(tensor.abs() + 0.1)
    return model.to(dtype)


def picture(channels, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, channels, 5, 6, generator=generator, dtype=torch.float64).to(dtype)


NETWORKS = {
    "DnCNN": lambda: DnCNN(5, channels=4),
    "colour DnCNN": lambda: dncnn(4, in_channels=3, channels=6),
    "pairs without biases": Net,
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS)
def model(request):
    return trained(request.param())


def test_equals_the_network_in_evaluation_mode(model):
    merged = merge_batch_norm(model.eval())
    assert type(merged) is type(model)
    assert not [layer for layer in merged.modules() if isinstance(layer, nn.BatchNorm2d)]
    x = picture(model.in_channels)
    expected = model(x)
    assert torch.allclose(merged(x), expected, rtol=0, atol=1e-12 * expected.abs().max().item())
    assert torch.equal(merged.train()(x), merged.eval()(x))


def test_equals_to_1e_5_in_float32_at_full_size():
    model = dncnn(20, in_channels=3).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.normal_(layer.running_mean)
    x = picture(3, torch.float32)
    with torch.inference_mode():
        expected = model(x)
        assert torch.allclose(merge_batch_norm(model)(x), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_each_weight_is_rounded_once():
    model = trained(DnCNN(3, channels=4), torch.float32)
    [unit] = model.body
    norm = {key: tensor.double() for key, tensor in unit.norm.state_dict().items()}
    factor = norm["weight"] / torch.sqrt(norm["running_var"] + 1e-4)
    merged = merge_batch_norm(model).body[0].conv
    assert torch.equal(merged.weight, (unit.conv.weight.double() * factor[:, None, None, None]).float())
    shifted = (unit.conv.bias.double() - norm["running_mean"]) * factor + norm["bias"]
    assert torch.equal(merged.bias, shifted.float())


def test_leaves_the_network_as_it_is(model):
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    merged = merge_batch_norm(model)
    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.zero_()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert model.config["batch_norm"] is True
    assert merged.config == {**model.config, "batch_norm": False}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_keeps_mode_and_dtype(training, dtype, model):
    merged = merge_batch_norm(model.to(dtype).train(training))
    assert merged.training is training
    assert {tensor.dtype for tensor in merged.state_dict().values()} == {dtype}


def test_draws_nothing_from_the_callers_stream_and_keeps_what_is_frozen():
    model = trained(DnCNN(4, channels=4))
    model.body[1].requires_grad_(False)
    state = torch.get_rng_state()
    merged = merge_batch_norm(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert {name for name, p in merged.named_parameters() if not p.requires_grad} == {
        "body.1.conv.weight",
        "body.1.conv.bias",
    }


def test_a_new_bias_is_frozen_if_the_norm_was():
    model = trained(Net())
    model.body_norm.requires_grad_(False)
    merged = merge_batch_norm(model)
    assert [name for name, p in merged.named_parameters() if not p.requires_grad] == ["body_conv.bias"]


def test_refuses_networks_without_batch_norm():
    with pytest.raises(ValueError, match="model must have batch_norm=True, got a DnCNN with"):
        merge_batch_norm(merge_batch_norm(DnCNN(3, channels=4)))
    with pytest.raises(TypeError, match=r"network of restorekit\.models, got Conv2d"):
        merge_batch_norm(nn.Conv2d(1, 1, 1))
