import copy
import json

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from restorekit.models import SinGANDiscriminator, SinGANGenerator, load_weights, save_weights

KINDS = (SinGANDiscriminator, SinGANGenerator)


def build(kind, in_channels=3, channels=4):
    """A network whose weights and statistics are not those of its construction."""
    generator = torch.Generator().manual_seed(0)
    model = kind(in_channels, channels=channels)
    for key, tensor in model.state_dict().items():
        if tensor.ndim == 4:
            nn.init.normal_(tensor, 0, 0.4, generator=generator)
        elif tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5 if key.endswith("var") else -0.5, 1.5, generator=generator)
    return model


def pictures(height=14, width=13, channels=3, dtype=torch.float32, batch=2):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, channels, height, width, generator=generator, dtype=torch.float64).to(dtype)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.mark.parametrize(("channels", "parameters"), [(32, 29_185), (64, 113_665), (128, 448_513)])
def test_the_published_discriminators_have_these_parameters(channels, parameters):
    with torch.device("meta"):
        model = SinGANDiscriminator(channels=channels)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_the_names_of_the_published_files():
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    keys = [f"{part}.{key}" for part in ("head", "body.block1", "body.block2", "body.block3")
            for key in ("conv.weight", "conv.bias", *(f"norm.{name}" for name in norm))]  # fmt: skip
    assert list(SinGANDiscriminator(channels=1).state_dict()) == [*keys, "tail.weight", "tail.bias"]


# Values


def plain(tensors, x, training):
    """Five 3x3 convolutions without padding; BatchNorm (epsilon 1e-5) and LeakyReLU (0.2) behind all but the last."""
    for part in ("head", "body.block1", "body.block2", "body.block3"):
        x = F.conv2d(x, tensors[f"{part}.conv.weight"], tensors[f"{part}.conv.bias"])
        mean, var = tensors[f"{part}.norm.running_mean"], tensors[f"{part}.norm.running_var"]
        if training:
            mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
        x = (x - mean.view(-1, 1, 1)) / (var.view(-1, 1, 1) + 1e-5).sqrt()
        x = x * tensors[f"{part}.norm.weight"].view(-1, 1, 1) + tensors[f"{part}.norm.bias"].view(-1, 1, 1)
        x = torch.where(x > 0, x, 0.2 * x)
    return F.conv2d(x, tensors["tail.weight"], tensors["tail.bias"])


@pytest.mark.parametrize("training", [True, False])
def test_discriminator_equals_a_plain_transcription(training):
    model, x = build(SinGANDiscriminator).double().train(training), pictures(dtype=torch.float64)
    expected = plain(copy.deepcopy(model.state_dict()), x, training)
    out = model(x)
    assert out.shape == expected.shape == (2, 1, 4, 3)
    assert torch.allclose(out, expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())
    assert expected.std() > 0.1


@pytest.mark.parametrize("training", [True, False])
def test_generator_equals_a_plain_transcription(training):
    """SinGAN's equation 5: the picture and what is added to it, of which the zeros around are a part."""
    model, x = build(SinGANGenerator).double().train(training), pictures(5, 4, dtype=torch.float64)
    padded = x.new_zeros(2, 3, 15, 14)
    padded[..., 5:-5, 5:-5] = x
    expected = x + plain(copy.deepcopy(model.state_dict()), padded, training).tanh()
    out = model(x)
    assert out.shape == x.shape
    assert torch.allclose(out, expected, rtol=1e-9, atol=1e-9)
    assert (expected - x).std() > 0.1


def test_a_score_sees_eleven_pixels():
    model = build(SinGANDiscriminator).double().eval()
    x = pictures(21, 21, dtype=torch.float64, batch=1).requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[0, 0, 5, 4], x)
    rows, columns = gradient.abs().sum(dim=(0, 1)).nonzero(as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 15, 4, 14)


@pytest.mark.parametrize(("kind", "size", "expected"), [
    (SinGANDiscriminator, (11, 11), (1, 1)), (SinGANDiscriminator, (48, 40), (38, 30)),
    (SinGANGenerator, (1, 1), (1, 1)), (SinGANGenerator, (7, 12), (7, 12)),
])  # fmt: skip
@pytest.mark.parametrize("channels", [1, 3])
def test_sizes(kind, size, expected, channels):
    out = kind(channels, channels=2).eval()(torch.rand(2, channels, *size))
    assert out.shape == (2, 1 if kind is SinGANDiscriminator else channels, *expected)


# Weights


def test_the_law_of_new_weights(kind):
    """DCGAN's: normal of standard deviation 0.02 around 0, around 1 for the factors of norms; no bias in these."""
    torch.manual_seed(0)
    layers = list(kind(channels=64).modules())
    kernels = torch.cat([layer.weight.flatten() for layer in layers if isinstance(layer, nn.Conv2d)])
    factors = torch.cat([layer.weight for layer in layers if isinstance(layer, nn.BatchNorm2d)])
    for drawn, mean in ((kernels, 0), (factors, 1)):
        error = 0.02 / len(drawn) ** 0.5
        assert drawn.mean().item() == pytest.approx(mean, abs=4 * error)
        assert drawn.std().item() == pytest.approx(0.02, abs=4 * error)
        z = (drawn - mean) / 0.02
        assert (z.abs() < 1).float().mean().item() == pytest.approx(0.6827, abs=2 / len(drawn) ** 0.5)
    assert not any(layer.bias.any() for layer in layers if isinstance(layer, nn.BatchNorm2d))


def test_training_moves_the_statistics_and_evaluation_does_not(kind):
    model = build(kind)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items() if "running" in key}
    model.eval()(pictures())
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in before.items())
    model.train()(pictures())
    assert not any(torch.equal(model.state_dict()[key], tensor) for key, tensor in before.items())
    assert {int(t) for key, t in model.state_dict().items() if key.endswith("num_batches_tracked")} == {1}


def test_weights_survive_a_file(kind, tmp_path):
    path = tmp_path / "model.safetensors"
    model, other = build(kind).eval(), kind(channels=4).eval()
    assert not torch.equal(other(pictures()), model(pictures()))
    save_weights(model, path)
    load_weights(other, path)
    assert torch.equal(other(pictures()), model(pictures()))
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["config"]) == model.config == {"in_channels": 3, "channels": 4}
    with pytest.raises(ValueError, match="channels=4, but the network has channels=5"):
        load_weights(kind(channels=5), path)
    [another] = set(KINDS) - {kind}
    with pytest.raises(ValueError, match=f"{kind.__name__}"):
        load_weights(another(channels=4), path)


# Gradient and precision


def test_gradient_is_the_derivative(kind):
    model = build(kind, channels=2).double().eval()
    x = pictures(12, 11, dtype=torch.float64, batch=1).requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


def test_the_gradient_has_a_derivative():
    """The penalty of WGAN-GP is made of the gradient, and its own gradient moves the weights."""
    model = build(SinGANDiscriminator, channels=2).double()
    x = pictures(12, 12, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    ((gradient.norm(dim=1) - 1) ** 2).mean().backward()
    assert model.head.conv.weight.grad.any()
    assert torch.autograd.gradgradcheck(model.eval(), (x[:1].detach().requires_grad_(),), fast_mode=True)


def test_gradient_reaches_everything(kind):
    model, x = build(kind).eval(), pictures().requires_grad_()
    model(x).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert x.grad.any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_precisions_stay_close(kind, dtype):
    model = build(kind).eval()
    expected = model(pictures())
    out = model.to(dtype)(pictures(dtype=dtype))
    assert out.dtype == dtype
    assert (out.float() - expected).abs().max() <= (0.05 if dtype == torch.bfloat16 else 1e-5) * expected.abs().max()


def test_nan_stays_where_it_can_be_seen():
    x = pictures(14, 13)
    x[0, 0, 0, 0] = torch.nan
    out = build(SinGANDiscriminator).eval()(x)
    assert out.isnan().nonzero().tolist() == [[0, 0, 0, 0]]


# Errors


def test_wrong_pictures_are_refused(kind):
    model = kind(channels=2)
    for wrong in (torch.zeros(2, 3, 12, 12, dtype=torch.uint8), None):
        with pytest.raises(TypeError, match="x must be a"):
            model(wrong)
    for shape in ((3, 12, 12), (2, 1, 12, 12), (0, 3, 12, 12)):
        with pytest.raises(ValueError, match="x must"):
            model(torch.zeros(shape))


@pytest.mark.parametrize("size", [(10, 12), (12, 10), (1, 1)])
def test_small_pictures_are_refused(size):
    assert (SinGANDiscriminator.minimum_side, SinGANGenerator.minimum_side) == (11, 1)
    with pytest.raises(ValueError, match=r"at least 11x11 px, got shape \(2, 3, "):
        SinGANDiscriminator(channels=2)(torch.zeros(2, 3, *size))


def test_wrong_sizes_are_refused(kind):
    for wrong in ({"channels": 0}, {"in_channels": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least 1, got 0"):
            kind(**wrong)
    with pytest.raises(TypeError, match="channels must be an integer"):
        kind(channels=2.0)
