import math

import pytest
import torch
from torch import nn

from restorekit.layers import ManifoldMixup, Mixing, draw_mixing, mix
from restorekit.models import edsr


def seed(number):
    return torch.Generator().manual_seed(number)


def batch(n=4, channels=3, size=5, number=0):
    return torch.rand(n, channels, size, size, generator=seed(number), dtype=torch.float64)


def chain():
    """A network whose three layers can be told apart."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Softplus(), nn.Conv2d(4, 3, 3, padding=1)).double()


@pytest.mark.parametrize("alpha", [0.4, 2.0, 50])
def test_shares_are_beta_and_partners_a_permutation(alpha):
    drawn = draw_mixing(3000, alpha=alpha, generator=seed(1))
    assert torch.equal(drawn.partner.sort().values, torch.arange(3000))
    assert (drawn.partner == torch.arange(3000)).sum() < 8  # one on average
    spread = math.sqrt(1 / (4 * (2 * alpha + 1)))
    assert abs(drawn.weight.mean() - 0.5) < 4 * spread / math.sqrt(3000)
    assert drawn.weight.std().item() == pytest.approx(spread, rel=0.06)


def test_one_share_for_the_batch_if_asked_for():
    drawn = draw_mixing(9, same_on_batch=True, generator=seed(2))
    assert drawn.weight.shape == (9,)
    assert drawn.weight.unique().numel() == 1
    assert draw_mixing(9, generator=seed(2)).weight.unique().numel() == 9


def test_every_permutation_of_three_comes():
    found = {tuple(draw_mixing(3, generator=seed(number)).partner.tolist()) for number in range(100)}
    assert len(found) == 6


@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 3, 5, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_mix_is_its_equation(shape, dtype):
    x = torch.randn(shape, generator=seed(3)).to(dtype)
    drawn, before = draw_mixing(4, generator=seed(4)), x.clone()
    out = mix(x, drawn)
    pairs = zip(drawn.partner.tolist(), drawn.weight.tolist(), strict=True)
    rows = [w * x[i].double() + (1 - w) * x[j].double() for i, (j, w) in enumerate(pairs)]
    assert out.dtype == dtype
    assert torch.allclose(out.double(), torch.stack(rows), atol=0.05 if dtype == torch.bfloat16 else 1e-6)
    assert torch.equal(x, before)


def test_mix_keeps_what_all_share_and_the_mean_of_an_even_blend():
    drawn = draw_mixing(5, generator=seed(5))
    assert torch.equal(mix(torch.ones(5, 2), drawn), torch.ones(5, 2))
    x, even = batch(5), Mixing(drawn.partner, torch.full((5,), 0.5))
    assert torch.allclose(mix(x, even).mean(0), x.mean(0))


def test_gradient():
    drawn = draw_mixing(3, generator=seed(6))
    assert torch.autograd.gradcheck(lambda x: mix(x, drawn), (batch(3, 1, 2).requires_grad_(),))


def test_blends_behind_one_layer_and_the_target_alike():
    model, x, y = chain(), batch(8), batch(8, number=1)
    names = ["", "0", "1"]
    mixup, seen = ManifoldMixup(model, names), []
    for number in range(60):
        prediction, target = mixup(x, y, generator=seed(number))
        generator = seed(number)
        torch.rand(1, generator=generator)  # the choice of the layer
        drawn = draw_mixing(8, generator=generator)
        assert torch.equal(target, mix(y, drawn))
        behind = {i: model[i:](mix(model[:i](x), drawn)) for i in range(3)}
        assert (behind[1] - behind[2]).abs().max() > 1e-5
        seen += [i for i, expected in behind.items() if torch.allclose(prediction, expected, rtol=0, atol=1e-12)]
    counts = [seen.count(i) for i in range(3)]
    # The first convolution is linear: to blend in front of it or behind it is the same.
    assert counts[0] == counts[1]
    assert 20 < counts[0] < 58
    assert counts[2] == 60 - counts[0]
    assert [len(layer._forward_hooks) for layer in model] == [0, 0, 0]


def test_layers_are_drawn_equally_often():
    n, drawn = 300, []
    model = nn.Sequential(nn.Identity(), nn.Identity(), nn.Identity())
    mixup = ManifoldMixup(model, ["0", "1", "2"])
    for i, layer in enumerate(model):  # the one that was drawn has a second hook for the time being
        layer.register_forward_hook(lambda m, _x, _y, i=i: drawn.append(i) if len(m._forward_hooks) > 1 else None)
    for number in range(n):
        mixup(torch.rand(2, 1), torch.rand(2, 1), generator=seed(number))
    assert len(drawn) == n
    assert all(abs(drawn.count(i) - n / 3) < 4 * math.sqrt(n * 2 / 9) for i in range(3))


def test_a_linear_network_maps_the_blended_input_to_the_blended_output():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 1)).double()
    x = batch()
    for number in range(6):
        prediction, target = ManifoldMixup(model, ["", "0", "1"])(x, model(x), generator=seed(number))
        assert torch.allclose(prediction, target)


def test_a_layer_that_runs_twice_is_followed_once():
    shared = nn.Conv2d(3, 3, 1).double()
    model, x = nn.Sequential(shared, nn.Softplus(), shared), batch()
    prediction, _ = ManifoldMixup(model, ["0"])(x, x, generator=seed(1))
    generator = seed(1)
    torch.rand(1, generator=generator)
    drawn = draw_mixing(4, generator=generator)
    assert torch.allclose(prediction, model[1:](mix(shared(x), drawn)))


def test_evaluation_blends_nothing():
    model, x = chain(), batch()
    prediction, target = ManifoldMixup(model, ["0"]).eval()(x, x)
    assert torch.equal(prediction, model(x))
    assert target is x


def test_same_generator_same_result_and_the_global_stream_left_alone():
    mixup, x, state = ManifoldMixup(chain(), ["", "0", "1"], alpha=0.5), batch(), torch.get_rng_state()
    first, again, other = (mixup(x, x, generator=seed(number))[0] for number in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


def test_trains_a_network_of_the_library():
    mixup = ManifoldMixup(edsr(2, channels=8, blocks=1), ["", "entry", "upsampler"])
    prediction, target = mixup(torch.rand(3, 3, 6, 6), torch.rand(3, 3, 12, 12), generator=seed(0))
    (prediction - target).abs().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in mixup.parameters())


def test_a_layer_that_does_not_run_or_gives_no_tensor_is_named():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.idle, self.pair = nn.Identity(), Pair()

        def forward(self, x):
            return self.pair(x)[0]

    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    model, x = Odd(), torch.rand(2, 1)
    with pytest.raises(RuntimeError, match="'idle' did not run"):
        ManifoldMixup(model, ["idle"])(x, x)
    with pytest.raises(RuntimeError, match="'pair' must return a tensor to be mixed, got tuple"):
        ManifoldMixup(model, ["pair"])(x, x)
    assert len(model.idle._forward_hooks) == len(model.pair._forward_hooks) == 0


def test_refuses_what_it_cannot_blend():
    for wrong in ([], ["0", "no such"], "0"):
        with pytest.raises(ValueError, match="layers must name modules of Sequential"):
            ManifoldMixup(chain(), wrong)
    with pytest.raises(TypeError, match=r"model must be an nn\.Module, got function"):
        ManifoldMixup(seed, ["0"])
    for make in (lambda **k: draw_mixing(2, **k), lambda **k: ManifoldMixup(chain(), ["0"], **k)):
        with pytest.raises(ValueError, match=r"alpha must be in \[0, 1000"):
            make(alpha=-1)
    with pytest.raises(ValueError, match="count must be at least 1"):
        draw_mixing(0)
    with pytest.raises(ValueError, match="x must hold the 3 pictures"):
        mix(torch.rand(4, 2), draw_mixing(3))
    with pytest.raises(ValueError, match="same batch size, got 2 and 3"):
        ManifoldMixup(chain(), ["0"])(batch(2), batch(3))
