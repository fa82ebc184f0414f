import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F

from restorekit.losses import GANLoss, gradient_penalty
from restorekit.models.discriminators import MultiScaleDiscriminator, PatchDiscriminator

KINDS = ["vanilla", "least-squares", "hinge", "relativistic", "wgan"]


def logits(shape=(3, 1, 4, 5), dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return tuple((3 * torch.randn(shape, generator=generator)).to(dtype) for _ in range(2))


def log_sigmoid(x):
    return np.log(1 / (1 + np.exp(-x)))


def published(kind, real, fake):
    """Both losses as the papers write them: expectations of real pictures r and of fakes f."""
    mean = np.mean
    if kind == "relativistic":
        first, second = real - mean(fake), fake - mean(real)
        discriminator = -mean(log_sigmoid(first)) - mean(np.log(1 - 1 / (1 + np.exp(-second))))
        generator = -mean(np.log(1 - 1 / (1 + np.exp(-first)))) - mean(log_sigmoid(second))
        return discriminator, generator
    return {
        "vanilla": (-mean(log_sigmoid(real)) - mean(log_sigmoid(-fake)), -mean(log_sigmoid(fake))),
        "least-squares": (mean((real - 1) ** 2) / 2 + mean(fake**2) / 2, mean((fake - 1) ** 2) / 2),
        "hinge": (-mean(np.minimum(0, real - 1)) - mean(np.minimum(0, -fake - 1)), -mean(fake)),
        "wgan": (mean(fake) - mean(real), -mean(fake)),
    }[kind]


@pytest.mark.parametrize("shape", [(3, 1, 4, 5), (6,), (2, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_papers(kind, shape):
    real, fake = logits(shape)
    loss = GANLoss(kind)
    found = loss.discriminator(real, fake).item(), loss.generator(fake, real).item()
    assert found == pytest.approx(published(kind, real.numpy(), fake.numpy()), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_are_averaged_and_then_added(kind):
    large, small = logits((2, 1, 6, 6)), logits((2, 1, 3, 2))
    real, fake = zip(large, small, strict=True)
    loss = GANLoss(kind)
    both = [published(kind, r.numpy(), f.numpy()) for r, f in (large, small)]
    expected = [sum(parts) for parts in zip(*both, strict=True)]
    assert loss.discriminator(list(real), list(fake)).item() == pytest.approx(expected[0])
    assert loss.generator(fake, real).item() == pytest.approx(expected[1])


def test_vanilla_is_what_pcarn_has_on_its_sigmoids():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = MultiScaleDiscriminator([PatchDiscriminator(channels=2) for _ in range(3)])
    real, fake = (net(torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(i))) for i in (0, 1))
    ones, zeros = ([torch.full_like(x, v) for x in fake] for v in (1, 0))

    def cross_entropy(maps, labels):
        return sum(F.binary_cross_entropy(x.sigmoid(), label) for x, label in zip(maps, labels, strict=True))

    loss = GANLoss()
    torch.testing.assert_close(loss.discriminator(real, fake), cross_entropy(real, ones) + cross_entropy(fake, zeros))
    torch.testing.assert_close(loss.generator(fake), cross_entropy(fake, ones))


@pytest.mark.parametrize("kind", KINDS)
def test_only_relativistic_needs_real_logits(kind):
    loss, (real, fake) = GANLoss(kind), logits()
    assert loss.needs_real == (kind == "relativistic")
    if loss.needs_real:
        with pytest.raises(ValueError, match="needs real_logits"):
            loss.generator(fake)
    else:
        assert torch.equal(loss.generator(fake), loss.generator(fake, real))


@given(st.floats(-50, 50))
def test_relativistic_sees_differences_only(shift):
    loss, (real, fake) = GANLoss("relativistic"), logits()
    torch.testing.assert_close(loss.discriminator(real + shift, fake + shift), loss.discriminator(real, fake))
    torch.testing.assert_close(loss.generator(fake + shift, real + shift), loss.generator(fake, real))
    torch.testing.assert_close(loss.generator(fake, real), loss.discriminator(fake, real))


@pytest.mark.parametrize("kind", KINDS)
def test_the_two_players_pull_logits_of_fakes_apart(kind):
    loss, (real, fake) = GANLoss(kind), logits()
    fake = fake.clamp(0.1, 0.9).requires_grad_()
    (down,) = torch.autograd.grad(loss.discriminator(real, fake), fake)
    (up,) = torch.autograd.grad(loss.generator(fake, real), fake)
    assert (down > 0).all()
    assert (up < 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_gradient(kind):
    pair = tuple(x.requires_grad_() for x in logits((2, 1, 2, 2)))
    loss = GANLoss(kind)
    assert gradcheck(loss.discriminator, pair)
    assert gradcheck(lambda real, fake: loss.generator(fake, real), pair)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 1e4, -1e4])
def test_extreme_and_equal_logits_have_finite_losses_and_gradients(kind, value):
    loss = GANLoss(kind)
    real, fake = (torch.full((2, 1), value, requires_grad=True) for _ in range(2))
    total = loss.discriminator(real, fake) + loss.generator(fake, real)
    total.backward()
    assert total.isfinite()
    assert fake.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_half_types_are_computed_in_float32(kind):
    real, fake = logits(dtype=torch.bfloat16)
    loss = GANLoss(kind)
    for found, expected in (
        (loss.discriminator(real, fake), loss.discriminator(real.float(), fake.float())),
        (loss.generator([fake], [real]), loss.generator(fake.float(), real.float())),
    ):
        assert found.dtype == torch.float32
        assert torch.equal(found, expected)


def test_batches_may_differ_in_size():
    real, fake = logits()
    assert GANLoss("wgan").discriminator(real[:1], fake).item() == pytest.approx((fake.mean() - real[:1].mean()).item())


def test_it_can_be_copied_and_read():
    loss = copy.deepcopy(GANLoss("hinge"))
    assert repr(loss) == "GANLoss('hinge')"
    assert repr(GANLoss()) == "GANLoss('vanilla')"


@pytest.mark.parametrize(
    ("real", "fake", "error", "match"),
    [
        ([torch.zeros(1)], [torch.zeros(1)] * 2, ValueError, "the same maps"),
        ([torch.zeros(1, 4), torch.zeros(1, 2)], [torch.zeros(1, 2), torch.zeros(1, 4)], ValueError, "the same maps"),
        (torch.zeros(2, 1), torch.zeros(2), ValueError, "the same maps"),
        (torch.zeros(2), torch.zeros(2).double(), ValueError, "same dtype"),
        ([], [], ValueError, "at least one map"),
        (torch.zeros(0, 1), torch.zeros(0, 1), ValueError, "no empty one"),
        (torch.zeros(2), torch.zeros(2, dtype=torch.int64), TypeError, "fake_logits must hold floating-point"),
        (torch.zeros(2), [0.5], TypeError, "fake_logits must hold floating-point tensors, got float"),
        ("real", torch.zeros(2), TypeError, "real_logits must be a tensor or a list"),
        (None, torch.zeros(2), TypeError, "real_logits must be a tensor or a list"),
    ],
)
def test_bad_logits(real, fake, error, match):
    with pytest.raises(error, match=match):
        GANLoss().discriminator(real, fake)


def test_bad_kind():
    with pytest.raises(ValueError, match=r"kind must be one of vanilla, least-squares, .*, got 'lsgan'"):
        GANLoss("lsgan")
    with pytest.raises(TypeError, match="fake_logits"):
        GANLoss().generator(torch.zeros(2, dtype=torch.int32))


def batch(n=3, dtype=torch.float64):
    return tuple(torch.rand(n, 2, 4, 5, generator=torch.Generator().manual_seed(i)).to(dtype) for i in (0, 1))


@given(st.floats(0.1, 5))
def test_penalty_of_a_plane_is_the_distance_of_its_slope_from_1(slope):
    real, fake = batch()
    weight = torch.full((2, 4, 5), slope / 40**0.5, dtype=torch.float64)
    found = gradient_penalty(lambda x: (x * weight).sum(dim=(1, 2, 3)) + 7, real, fake)
    assert found.item() == pytest.approx((slope - 1) ** 2, abs=1e-12)


def test_penalty_is_taken_between_real_and_fake_at_a_point_of_its_own_for_each_picture():
    real, fake = batch()
    seen = []

    def half_square(x):  # whose slope at x is |x|
        seen.append(x.detach())
        return x.square().sum(dim=(1, 2, 3)) / 2

    found = gradient_penalty(half_square, real, fake, generator=torch.Generator().manual_seed(5))
    share = torch.rand(3, 1, 1, 1, generator=torch.Generator().manual_seed(5)).double()
    points = share * real + (1 - share) * fake
    torch.testing.assert_close(seen[0], points)
    expected = ((np.linalg.norm(points.numpy().reshape(3, -1), axis=1) - 1) ** 2).mean()
    assert found.item() == pytest.approx(expected)
    again = gradient_penalty(half_square, real, fake, generator=torch.Generator().manual_seed(5))
    assert torch.equal(found, again)


def test_score_of_a_picture_is_the_mean_of_its_map_added_over_maps():
    real, fake = batch()

    def maps(x):
        return [x.flatten(1) * 3, x.sum(dim=(1, 2, 3))]

    # the slope of each pixel: 3 / 40 from the first map, 1 from the second
    found = gradient_penalty(maps, real, fake)
    assert found.item() == pytest.approx(((3 / 40 + 1) * 40**0.5 - 1) ** 2)


def test_penalty_has_a_gradient_for_the_discriminator_alone():
    real, fake = (x.requires_grad_() for x in batch())
    weight = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(2)).double().requires_grad_()

    def penalty(w):
        score = lambda x: (x * w).square().sum(dim=(1, 2, 3))  # noqa: E731
        return gradient_penalty(score, real, fake, generator=torch.Generator().manual_seed(5))

    assert gradcheck(penalty, weight)
    penalty(weight).backward()
    assert real.grad is None
    assert fake.grad is None


def test_penalty_of_no_slope_is_1_with_a_finite_gradient():
    critic = nn.Conv2d(2, 1, 3, dtype=torch.float64)
    nn.init.zeros_(critic.weight)
    found = gradient_penalty(critic, *batch())
    found.backward()
    assert found.item() == 1
    assert critic.weight.grad.isfinite().all()


def test_penalty_can_be_looked_at_without_gradients():
    real, fake = batch()
    with torch.no_grad():
        found = gradient_penalty(lambda x: x.sum(dim=(1, 2, 3)), real, fake)
    assert found.item() == pytest.approx((40**0.5 - 1) ** 2)
    assert not found.requires_grad


def test_penalty_of_half_types_is_float32():
    real, fake = batch(dtype=torch.bfloat16)
    found = gradient_penalty(nn.Conv2d(2, 1, 3, dtype=torch.bfloat16), real, fake)
    assert found.dtype == torch.float32
    assert found.isfinite()


@pytest.mark.parametrize(
    ("arguments", "options", "error", "match"),
    [
        ((lambda x: x, torch.zeros(2, 3, 4, 4), torch.zeros(1, 3, 4, 4)), {}, ValueError, "real and fake must have"),
        ((lambda x: x, torch.zeros(2, 4, 4), torch.zeros(2, 4, 4)), {}, ValueError, "real must have 4 dimensions"),
        ((lambda x: x.sum(), torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)), {}, ValueError, r"logits \(2, ...\)"),
        ((lambda x: None, torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)), {}, TypeError, "logits must be a tensor"),
        ((None, torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)), {}, TypeError, "discriminator must be a function"),
        ((lambda x: x, *batch()), {"generator": 3}, TypeError, "generator must be a torch.Generator"),
    ],
)
def test_bad_penalties(arguments, options, error, match):
    with pytest.raises(error, match=match):
        gradient_penalty(*arguments, **options)
