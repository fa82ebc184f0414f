import pytest
import torch
from torch import nn

from restorekit.inference import restore, self_ensemble
from restorekit.models import carn_m


def network(scale=2, **options):
    torch.manual_seed(0)
    return carn_m(scale, channels=8, blocks=1, units=1, **options)


def noise(*shape, dtype=torch.float32):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))


def check(actual, expected, tolerance=1e-6):
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


def explicit_mean(function, x):
    total = 0
    for mirror in (False, True):
        for turns in range(4):
            turned = x.rot90(turns, (-2, -1))
            out = function(turned.flip(-1) if mirror else turned)
            total = total + (out.flip(-1) if mirror else out).rot90(-turns, (-2, -1))
    return total / 8


@pytest.mark.parametrize("shape", [(1, 3, 9, 6), (2, 3, 5, 5), (1, 3, 1, 1), (1, 3, 1, 7)])
def test_is_the_mean_over_the_eight(shape):
    net, x = network().double().eval(), noise(*shape, dtype=torch.float64)
    with torch.no_grad():
        expected, plain = explicit_mean(net, x), net(x)
    out = self_ensemble(net, x)
    check(out, expected, 1e-12)
    assert shape[-1] == 1 or (out - plain).abs().max() > 1e-6


def enlarged(x):
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def test_equals_plain_where_the_function_turns_along():
    x = noise(2, 3, 6, 9)
    check(self_ensemble(lambda x: enlarged(x).square(), x), enlarged(x).square())


def test_result_turns_along_with_the_picture():
    net, x = network(), noise(1, 3, 8, 5)
    check(self_ensemble(net, x.rot90(1, (-2, -1))), self_ensemble(net, x).rot90(1, (-2, -1)))
    check(self_ensemble(net, x.flip(-1)), self_ensemble(net, x).flip(-1))


@pytest.mark.parametrize("scale", [2, 3])
def test_scale_picks_the_head(scale):
    net, x = network((2, 3)), noise(1, 3, 6, 5)
    out = self_ensemble(net, x, scale=scale)
    assert out.shape == (1, 3, 6 * scale, 5 * scale)
    check(out, explicit_mean(lambda x: net(x, scale=scale), x).detach())


@pytest.mark.parametrize("options", [{}, {"head": "desubpixel"}])
def test_tiles_do_not_change_it(options):
    net, x = network(**options), noise(2, 3, 25, 18)
    expected = restore(net, x, self_ensemble=True)
    check(restore(net, x, self_ensemble=True, tile=7), expected)
    if not options:
        check(expected, self_ensemble(net, x))


def test_no_graph_and_nothing_changed():
    net, x = network().train(), noise(1, 3, 4, 4).requires_grad_()
    before = x.detach().clone()
    assert not self_ensemble(net, x).requires_grad
    assert net.training
    assert torch.equal(x, before)
    weight = torch.ones((), requires_grad=True)
    assert not self_ensemble(lambda x: x * weight, x).requires_grad


def test_runs_in_evaluation_mode():
    class Mode(nn.Module):
        def forward(self, x):
            return torch.full_like(x, float(self.training))

    assert self_ensemble(Mode().train(), noise(1, 3, 4, 4)).max() == 0


def test_a_function_that_returns_its_argument_is_left_alone():
    x = noise(1, 3, 4, 4)
    kept = []

    def remember(x):
        kept.append((x, x.clone()))
        return x

    check(self_ensemble(remember, x), x)
    assert len(kept) == 8
    assert all(torch.equal(now, then) for now, then in kept)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype(dtype):
    assert self_ensemble(network().to(dtype), noise(1, 3, 4, 4).to(dtype)).dtype == dtype


@pytest.mark.parametrize("scale", [4, 0, 2.5])
def test_unknown_scale(scale):
    with pytest.raises(ValueError, match=r"scales \(2, 3\)"):
        self_ensemble(network((2, 3)), noise(1, 3, 4, 4), scale=scale)


def test_several_scales_need_a_choice():
    with pytest.raises(ValueError, match=r"scales \(2, 3\)"):
        self_ensemble(network((2, 3)), noise(1, 3, 4, 4))


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (noise(3, 4, 4), ValueError),
        (noise(1, 3, 4, 0), ValueError),
        (noise(1, 3, 4, 4).byte(), TypeError),
        (noise(1, 3, 4, 4).numpy(), TypeError),
    ],
)
def test_pictures_must_be_a_float_batch(x, error):
    with pytest.raises(error, match="x must"):
        self_ensemble(network(), x)


def test_model_must_be_callable():
    with pytest.raises(TypeError, match="model must be"):
        self_ensemble(None, noise(1, 3, 4, 4))
