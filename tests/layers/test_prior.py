import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from restorekit.layers import (
    MetaPrior,
    PriorAttention,
    PriorReformulation,
    SupervisedDegradationAttention,
    degradation_attention_loss,
    fix_signs,
)

DTYPES = [torch.float32, torch.bfloat16, torch.float64]


def features(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def randomized(layer):
    generator = torch.Generator().manual_seed(3)
    for parameter in layer.double().parameters():
        nn.init.normal_(parameter, 0.05, 0.3, generator=generator)
    return layer


def close(out, exact, dtype):
    return (out.double() - exact).abs().max() < (0.05 if dtype == torch.bfloat16 else 1e-5) * exact.abs().max()


# Degradation attention


def test_degradation_attention_is_its_equation():
    layer, x, picture = (
        randomized(SupervisedDegradationAttention(4)),
        features(2, 4, 5, 7),
        features(2, 3, 5, 7, seed=1),
    )
    mix, to_image, to_gate = (m.weight[..., 0, 0] for m in (layer.features, layer.to_image, layer.to_gate))
    image = torch.einsum("oc,nchw->nohw", to_image, x) + picture
    gate = 1 / (1 + torch.exp(-torch.einsum("oc,nchw->nohw", to_gate, image)))
    out, seen = layer(x, picture)
    assert torch.allclose(seen, image, rtol=0, atol=1e-12)
    assert torch.allclose(out, x + torch.einsum("oc,nchw->nohw", mix, x) * gate, rtol=0, atol=1e-12)


def test_the_picture_is_halved_by_means_of_the_middle_pixels():
    """Bilinear without antialiasing reads, for a factor of 4, the middle 2x2 pixels of each 4x4."""
    layer = SupervisedDegradationAttention(4).double()
    nn.init.zeros_(layer.to_image.weight)
    picture = features(1, 3, 8, 12)
    _, image = layer(features(1, 4, 2, 3), picture)
    blocks = picture.view(1, 3, 2, 4, 3, 4)[:, :, :, 1:3, :, 1:3]
    assert torch.allclose(image, blocks.mean(dim=(3, 5)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("stop_gradient", [True, False])
def test_the_gradient_passes_only_if_it_may(stop_gradient):
    layer = SupervisedDegradationAttention(4, stop_gradient=stop_gradient).double()
    x, picture = features(1, 4, 3, 3).requires_grad_(), features(1, 3, 3, 3).requires_grad_()
    out, image = layer(x, picture)
    (out.sum() + image.square().sum()).backward()
    assert (x.grad is None) == stop_gradient
    assert picture.grad.any()
    assert all(parameter.grad.any() for parameter in layer.parameters())


def test_loss_is_the_sum_over_levels_of_the_mean_difference():
    reference = features(2, 3, 4, 6)
    images = [features(2, 3, 4, 6, seed=1), features(2, 3, 2, 3, seed=2)]
    half = reference.view(2, 3, 2, 2, 3, 2).mean(dim=(3, 5))
    expected = (images[0] - reference).abs().mean() + (images[1] - half).abs().mean()
    assert degradation_attention_loss(images, reference).item() == pytest.approx(expected.item(), abs=1e-12)
    with pytest.raises(ValueError, match="at least one level"):
        degradation_attention_loss([], reference)
    with pytest.raises(TypeError, match="reference must be"):
        degradation_attention_loss(images, None)


# Attention to the priors


def test_prior_attention_is_its_equation_at_each_pixel():
    layer, x, priors = randomized(PriorAttention(4, 6, heads=2)), features(2, 4, 3, 5), features(2, 3, 6, seed=1)
    pointwise, local = layer.query
    q = F.conv2d(F.conv2d(x, pointwise.weight), local.weight, padding=1, groups=4)
    mixed = torch.zeros_like(x)
    for n in range(2):
        mean = priors[n].mean(dim=1, keepdim=True)
        deviation = ((priors[n] - mean).square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
        rows = (priors[n] - mean) / deviation @ layer.key_value.weight.T + layer.key_value.bias
        for head in (slice(0, 2), slice(2, 4)):
            k, v = rows[:, :4][:, head], rows[:, 4:][:, head]
            for i in range(3):
                for j in range(5):
                    weights = torch.softmax(k @ q[n, head, i, j] / 4**0.5, dim=0)
                    mixed[n, head, i, j] = weights @ v
    assert torch.allclose(layer(x, priors), F.conv2d(mixed, layer.exit.weight), rtol=0, atol=1e-12)


def test_a_number_added_to_a_whole_prior_changes_nothing():
    """Why the mixer of the right singular vectors needs no bias."""
    layer, x, priors = randomized(PriorAttention(4, 6)), features(1, 4, 3, 3), features(1, 3, 6, seed=1)
    moved = priors + features(1, 3, 1, seed=2)
    assert torch.allclose(layer(x, moved), layer(x, priors), rtol=0, atol=1e-12)


@given(height=st.integers(1, 5), width=st.integers(1, 5), rows=st.integers(1, 4))
def test_with_any_size_and_any_number_of_priors(height, width, rows):
    x = features(2, 4, height, width, dtype=torch.float32)
    assert PriorAttention(4, 6)(x, features(1, rows, 6, dtype=torch.float32)).shape == x.shape


# The module


def module(**options):
    return randomized(MetaPrior(4, 6, heads=2, **options))


INPUTS = (features(2, 4, 5, 7), features(2, 3, 10, 14, seed=1), features(1, 3, 6, seed=2))


@pytest.mark.parametrize("additive_first", [False, True])
def test_module_is_its_equation(additive_first):
    layer = module(additive_first=additive_first)
    x, picture, priors = INPUTS
    shares = {"kernel": features(2, 1, 1, 1, seed=4), "affine": 0.5, "additive": features(2, 1, 1, 1, seed=5)}
    degraded, image = layer.degradation(x, picture)
    found = layer.from_priors(layer.attention(layer.norm1(degraded), priors))
    a = layer.from_features(x)
    guide = torch.zeros(2, 8, 5, 7, dtype=torch.float64)
    guide[:, 0::2], guide[:, 1::2] = a, found
    added = layer.routes["additive"](a, guide)
    base = added if additive_first else a
    r = added * shares["additive"] + layer.routes["affine"](base, guide) * 0.5
    r = r + layer.routes["kernel"](base, guide) * shares["kernel"]
    network = layer.feed_forward
    hidden = F.conv2d(layer.norm2(r), network.entry.weight)
    hidden = F.gelu(F.conv2d(hidden, network.local.weight, network.local.bias, padding=1, groups=10))
    out, seen = layer(x, picture, priors, shares)
    assert torch.equal(seen, image)
    assert torch.allclose(out, r + F.conv2d(hidden, network.exit.weight), rtol=0, atol=1e-10)


def test_one_route_runs_alone():
    layer = module()
    layer(*INPUTS, {"affine": 1.0})[0].sum().backward()
    reached = {name for name in layer.routes if layer.routes[name].evidence[0].weight.grad is not None}
    assert reached == {"affine"}


def test_prediction_is_a_distribution_of_the_average_features():
    layer, x = module(types=3), features(2, 4, 5, 7)
    first, second = layer.predictor
    average = x.sum(dim=(2, 3)) / 35
    scores = (average @ first.weight[..., 0, 0].T + first.bias) @ second.weight[..., 0, 0].T + second.bias
    expected = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
    assert torch.allclose(layer.predict(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_result_has_the_dtype_of_the_input(dtype):
    torch.manual_seed(0)
    layer = MetaPrior(4, 6).double()
    shares = {"additive": 0.5, "affine": 0.25, "kernel": 0.25}
    exact, exact_image = layer(*INPUTS, shares)
    out, image = layer.to(dtype)(*(x.to(dtype) for x in INPUTS), shares)
    assert out.dtype == image.dtype == dtype
    assert close(out, exact, dtype)
    assert close(image, exact_image, dtype)


def test_gradient():
    layer = randomized(MetaPrior(2, 4, stop_gradient=False))
    x, picture, priors = (t.requires_grad_() for t in (features(1, 2, 3, 2), features(1, 3, 3, 2), features(1, 2, 4)))
    shares = {"additive": 0.5, "affine": 0.25, "kernel": 0.25}
    assert torch.autograd.gradcheck(lambda *inputs: layer(*inputs, shares), (x, picture, priors), fast_mode=True)


# Reformulation


def picking(types, rows, kind):
    """A reformulation whose directions are those of one degradation."""
    layer = PriorReformulation(types, rows).double()
    for mixer in (layer.mix_left, layer.mix_right):
        nn.init.zeros_(mixer.weight)
        mixer.weight.data[:, kind * rows : (kind + 1) * rows] = torch.eye(rows, dtype=torch.float64)
    nn.init.zeros_(layer.mix_left.bias)
    return layer


@pytest.mark.parametrize("kind", [0, 2])
def test_one_degradation_with_its_own_directions_is_itself(kind):
    hub = features(3, 4, 7)
    layer = picking(3, 4, kind)
    priors = layer.mix(layer(hub), torch.eye(3, dtype=torch.float64)[[kind]])
    assert torch.allclose(priors, hub[[kind]], rtol=0, atol=1e-12)


def test_spectra_are_mixed_by_the_probabilities():
    hub = features(3, 4, 7)
    layer = randomized(PriorReformulation(3, 4))
    spectrum = layer(hub)
    expected = torch.stack([torch.linalg.eigvalsh(matrix @ matrix.T).flip(0).sqrt() for matrix in hub])
    assert torch.allclose(spectrum.values, expected, rtol=0, atol=1e-10)
    one_hot = layer.mix(spectrum, torch.eye(3, dtype=torch.float64))
    p = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64)
    assert torch.allclose(layer.mix(spectrum, p)[0], torch.einsum("t,trd->rd", p[0], one_hot), rtol=0, atol=1e-12)


def test_the_signs_of_the_svd_do_not_matter(monkeypatch):
    hub, p = features(3, 4, 7), torch.full((1, 3), 1 / 3, dtype=torch.float64)
    layer = randomized(PriorReformulation(3, 4))
    expected = layer.mix(layer(hub), p)
    decompose = torch.linalg.svd

    def flipped(x, full_matrices):
        left, values, right = decompose(x, full_matrices=full_matrices)
        signs = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=left.dtype)
        return left * signs, values, right * signs[:, None]

    monkeypatch.setattr(torch.linalg, "svd", flipped)
    assert torch.allclose(layer.mix(layer(hub), p), expected, rtol=0, atol=1e-12)


@given(seed=st.integers(0, 1000))
def test_fixed_signs_keep_the_product_and_are_fixed(seed):
    left, right = features(2, 4, 3, seed=seed), features(2, 3, 5, seed=seed + 1)
    u, v = fix_signs(left, right)
    assert torch.equal(u @ v, left @ right)
    assert all(column[column.abs().argmax()] > 0 for matrix in u for column in matrix.T)
    assert torch.equal(fix_signs(u, v)[0], u)
    assert torch.equal(fix_signs(-left, -right)[1], v)


def test_no_gradient_reaches_the_hub():
    hub = features(2, 3, 5).requires_grad_()
    layer = PriorReformulation(2, 3).double()
    layer.mix(layer(hub), torch.full((1, 2), 0.5, dtype=torch.float64)).square().sum().backward()
    assert hub.grad is None
    assert all(parameter.grad.any() for parameter in layer.parameters())


@pytest.mark.parametrize("dtype", DTYPES)
def test_reformulation_has_the_dtype_of_the_hub(dtype):
    layer, p = randomized(PriorReformulation(2, 3)), torch.tensor([[0.3, 0.7]], dtype=torch.float64)
    hub = features(2, 3, 6).to(dtype).double()
    exact = layer.mix(layer(hub), p)
    layer.to(dtype)
    out = layer.mix(layer(hub.to(dtype)), p.to(dtype))
    assert out.dtype == dtype
    assert close(out, exact, dtype)


# Bad input


def test_refuses_sizes_that_do_not_fit():
    for layer in (SupervisedDegradationAttention, lambda n: PriorAttention(n, 4), lambda n: MetaPrior(n, 4)):
        with pytest.raises(ValueError, match="channels must be at least 1, got 0"):
            layer(0)
    with pytest.raises(ValueError, match="prior_channels must be at least 1, got 0"):
        PriorAttention(4, 0)
    with pytest.raises(ValueError, match="heads must divide channels, got 3 heads for 4 channels"):
        PriorAttention(4, 4, heads=3)
    with pytest.raises(ValueError, match="types must be at least 1, got 0"):
        MetaPrior(4, 4, types=0)
    with pytest.raises(ValueError, match="rows must be at least 1, got 0"):
        PriorReformulation(5, 0)


@pytest.mark.parametrize("shares", [{}, {"identity": 1.0}, {"additive": 0.5, "blur": 0.5}])
def test_refuses_routes_that_do_not_exist(shares):
    with pytest.raises(ValueError, match="at least one route of additive, affine, kernel"):
        module()(*INPUTS, shares)


@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 7), (3, 5, 7), (3, 4, 3)])
def test_refuses_hubs_of_another_shape(shape):
    with pytest.raises(ValueError, match=r"hub must have shape \(3, 4, at least 4\)"):
        PriorReformulation(3, 4)(torch.zeros(shape))
