"""The step of a GAN against a loop written out, who gets gradients when, exact resume, bad input."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from restorekit.losses import GANLoss, VGGLoss
from restorekit.models import MultiScaleDiscriminator, PatchDiscriminator, VGG19Features, pcarn
from restorekit.train import adversarial, fit, halve_every

STEPS, BATCH = 6, 4
KINDS = ("vanilla", "least-squares", "hinge", "relativistic")


class Judge(nn.Module):
    """Two maps of logits, through BatchNorm; biases, where the losses do not depend on them, would follow rounding."""

    minimum_side = 4

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(0.1))
        self.fine, self.coarse = nn.Conv2d(4, 1, 1, bias=False), nn.Conv2d(4, 1, 2, stride=2, bias=False)

    def forward(self, x):
        features = self.features(x)
        return [self.fine(features), self.coarse(features)]


def _networks():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 1)), Judge()


class Noted(list):
    """A data set that notes which items were taken."""

    def __init__(self, items):
        super().__init__(items)
        self.taken = []

    def __getitem__(self, index):
        self.taken.append(index)
        return super().__getitem__(index)


@pytest.fixture
def noted(pairs):
    return Noted(pairs)


def _fit(model, pairs, step, *, steps=STEPS, **options):
    settings = {"batch_size": BATCH, "learning_rate": 0.01, "clip_norm": 0.05, "channels_last": False, **options}
    return fit(model, pairs, steps=steps, step=step, progress=False, **settings)


def _binary(logits, label):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def _discriminator_loss(kind, real, fake):
    """Of one map, as the papers write it."""
    if kind == "vanilla":
        return _binary(real, 1.0) + _binary(fake, 0.0)
    if kind == "least-squares":
        return ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2
    if kind == "hinge":
        return (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()
    return _binary(real - fake.mean(), 1.0) + _binary(fake - real.mean(), 0.0)


def _generator_loss(kind, real, fake):
    if kind == "vanilla":
        return _binary(fake, 1.0)
    if kind == "least-squares":
        return ((fake - 1) ** 2).mean() / 2
    if kind == "hinge":
        return -fake.mean()
    return _binary(fake - real.mean(), 1.0) + _binary(real - fake.mean(), 0.0)


def _written_out(generator, discriminator, batches, *, kind, weight, rate=0.01, clip=0.05):
    """Two optimisers in turn, and the generator run twice, as the published code does."""
    of_generator = torch.optim.Adam(generator.parameters(), lr=0.01, fused=True)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), lr=rate, fused=True)
    losses = []
    for lq, hq in batches:
        real, fake = discriminator(hq), discriminator(generator(lq).detach())
        judged = sum(_discriminator_loss(kind, r, f) for r, f in zip(real, fake, strict=True))
        of_discriminator.zero_grad()
        judged.backward()
        of_discriminator.step()
        restored = generator(lq)
        real = [x.detach() for x in discriminator(hq)] if kind == "relativistic" else [None, None]
        fooled = sum(_generator_loss(kind, r, f) for r, f in zip(real, discriminator(restored), strict=True))
        total = (restored - hq).abs().mean() + weight * fooled
        of_generator.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(generator.parameters(), clip)
        of_generator.step()
        losses.append((total.item(), judged.item()))
    return tuple(zip(*losses, strict=True))


def _batches(noted):
    items = [list.__getitem__(noted, index) for index in noted.taken]
    return [
        tuple(torch.stack(part) for part in zip(*items[start : start + BATCH], strict=True))
        for start in range(0, len(items), BATCH)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_loop_written_out(noted, kind):
    model, judge = _networks()
    plain, plain_judge = _networks()
    step = adversarial(judge, content=F.l1_loss, gan=GANLoss(kind), gan_weight=0.3, discriminator_rate=0.02)
    result = _fit(model, noted, step)
    batches = _batches(noted)
    assert len(batches) == STEPS
    losses, judged = _written_out(plain, plain_judge, batches, kind=kind, weight=0.3, rate=0.02)
    assert result.losses == pytest.approx(losses, abs=1e-6)
    assert result.partner_losses["discriminator"] == pytest.approx(judged, abs=1e-6)
    for one, other in ((model, plain), (judge, plain_judge)):  # weights, and BatchNorm's statistics
        for name, value in other.state_dict().items():
            torch.testing.assert_close(one.state_dict()[name], value, rtol=0, atol=1e-6)


def test_the_published_defaults(noted):
    model, judge = _networks()
    plain, plain_judge = _networks()
    result = _fit(model, noted, adversarial(judge, content=F.l1_loss), clip_norm=10)
    losses, judged = _written_out(plain, plain_judge, _batches(noted), kind="vanilla", weight=5e-3, clip=10)
    assert result.losses == pytest.approx(losses, abs=1e-6)
    assert result.partner_losses["discriminator"] == pytest.approx(judged, abs=1e-6)


def test_a_batch_may_be_taken_in_parts(pairs):
    results = []
    for parts in (1, 2):
        model, judge = _networks()
        judge.features[1] = nn.Identity()  # BatchNorm would know the parts
        results.append((_fit(model, pairs, adversarial(judge, content=F.l1_loss), accumulate=parts), model, judge))
    (whole, *networks), (parts, *others) = results
    assert parts.partner_losses["discriminator"] == pytest.approx(whole.partner_losses["discriminator"], abs=1e-6)
    assert parts.losses == pytest.approx(whole.losses, abs=1e-6)
    for one, other in zip(networks, others, strict=True):
        assert all(parameter.requires_grad for parameter in other.parameters())
        torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=1e-5)


def _gradients(module):
    return [None if parameter.grad is None else parameter.grad.clone() for parameter in module.parameters()]


def test_each_turn_trains_one_network_and_leaves_the_other(pairs):
    model, judge = _networks()
    step = adversarial(judge, content=F.l1_loss)
    partners, calls = {name: partner.module for name, partner in step.partners.items()}, []
    partners["discriminator"].register_forward_hook(lambda *_: calls.append(1))
    batch = tuple(torch.stack(part) for part in zip(*pairs[:BATCH], strict=True))
    turns = step.turns(model, partners, batch, torch.Generator())
    name, loss = next(turns)
    loss.backward()
    assert name == "discriminator"
    assert all(gradient is None for gradient in _gradients(model))
    before = _gradients(judge)
    assert all(gradient.abs().sum() > 0 for gradient in before)
    assert len(calls) == 1  # more would not do between processes
    name, loss = next(turns)
    loss.backward()
    assert name == "model"
    assert all(gradient.abs().sum() > 0 for gradient in _gradients(model))
    assert all(torch.equal(one, other) for one, other in zip(_gradients(judge), before, strict=True))
    assert list(turns) == []
    assert all(parameter.requires_grad for parameter in judge.parameters())


@pytest.mark.parametrize(("kind", "calls"), [("vanilla", 3), ("relativistic", 4)])
def test_how_often_the_networks_run(pairs, kind, calls):
    model, judge = _networks()
    ran, judged = [], []
    model.register_forward_hook(lambda *_: ran.append(1))
    judge.register_forward_hook(lambda module, inputs, output: judged.append(len(inputs[0])))
    _fit(model, pairs, adversarial(judge, content=F.l1_loss, gan=GANLoss(kind)), steps=2)
    assert len(ran) == 2  # once a step
    assert judged == [BATCH] * calls * 2  # never real and restored pictures in one batch


def test_the_augmentation_draws_from_the_steps_generator(pairs):
    seen = []

    def shift(lq, hq, *, generator=None):
        seen.append(torch.rand((), generator=generator).item())
        return lq, hq + seen[-1]

    def content(prediction, target):
        seen.append(target.mean().item())
        return F.l1_loss(prediction, target)

    model, judge = _networks()
    step = adversarial(judge, content=content, augment=shift)
    partners = {name: partner.module for name, partner in step.partners.items()}
    batch = tuple(torch.stack(part) for part in zip(*pairs[:BATCH], strict=True))
    before = [part.clone() for part in batch]
    list(step.turns(model, partners, batch, torch.Generator().manual_seed(5)))
    assert seen[0] == torch.rand((), generator=torch.Generator().manual_seed(5)).item()
    assert seen[1] == pytest.approx(before[1].mean().item() + seen[0], abs=1e-5)
    assert all(torch.equal(part, old) for part, old in zip(batch, before, strict=True))


def test_a_generator_of_several_scales_with_the_published_discriminator():
    lq = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    data = {scale: [(x, x.repeat_interleave(scale, 1).repeat_interleave(scale, 2)) for x in lq] for scale in (2, 3)}
    model = pcarn((2, 3), channels=4, blocks=1, units=1)
    judge = MultiScaleDiscriminator([PatchDiscriminator(channels=2) for _ in range(3)])
    content = VGGLoss(VGG19Features(channels=2), layers={"conv3_1": 1.0})
    called = []
    model.register_forward_pre_hook(lambda module, inputs, named: called.append(named["scale"]), with_kwargs=True)
    result = fit(model, data, steps=4, batch_size=2, step=adversarial(judge, content=content), progress=False)
    assert set(called) == {2, 3}
    assert len(called) == result.steps == len(result.partner_losses["discriminator"]) == 4


@pytest.mark.parametrize("stops", [(1,), (3, 5)])
def test_a_resumed_run_ends_with_the_same_bits(pairs, tmp_path, stops):
    def run(networks, steps, name):
        model, judge = networks
        step = adversarial(judge, content=F.l1_loss, gan=GANLoss("relativistic"), discriminator_rate=0.02)
        options = {"schedule": halve_every(2), "ema_decay": 0.9, "checkpoint": tmp_path / name}
        return _fit(model, pairs, step, steps=steps, **options)

    whole = _networks()
    expected = run(whole, STEPS, "whole.pt")
    for stop in (*stops, STEPS):
        parts = _networks() if stop == stops[0] else [_blank(network) for network in _networks()]
        result = run(parts, stop, "parts.pt")
    assert result.losses == expected.losses
    assert result.partner_losses == expected.partner_losses
    for one, other in zip((*parts, result.ema), (*whole, expected.ema), strict=True):
        for name, value in other.state_dict().items():
            assert torch.equal(one.state_dict()[name], value), name


def _blank(network):
    """Other weights: the file holds those that count."""
    for value in network.state_dict().values():
        value.zero_()
    return network


def test_bfloat16(pairs):
    model, judge = _networks()
    plain, plain_judge = copy.deepcopy(model), copy.deepcopy(judge)
    half = _fit(model, pairs, adversarial(judge, content=F.l1_loss), mixed_precision="bf16")
    full = _fit(plain, pairs, adversarial(plain_judge, content=F.l1_loss))
    assert half.losses == pytest.approx(full.losses, rel=0.03)
    assert half.losses != full.losses
    assert all(value.dtype == torch.float32 for value in judge.parameters())


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"discriminator": len}, TypeError, "discriminator must be a module"),
        ({"content": None}, TypeError, "content must be a function"),
        ({"gan": "hinge"}, TypeError, "gan must be a losses.GANLoss"),
        ({"gan_weight": -1e-3}, ValueError, "gan_weight must be in"),
        ({"gan_weight": float("inf")}, ValueError, "gan_weight must be in"),
        ({"gan_weight": "0.1"}, TypeError, "gan_weight must be a number"),
    ],
)
def test_wrong_arguments_are_refused(wrong, error, message):
    arguments = {"discriminator": Judge(), "content": F.l1_loss, **wrong}
    with pytest.raises(error, match=message):
        adversarial(arguments.pop("discriminator"), **arguments)


def test_a_wrong_learning_rate_is_refused(pairs):
    model, judge = _networks()
    with pytest.raises(ValueError, match="learning_rate of 'discriminator' must be positive"):
        _fit(model, pairs, adversarial(judge, content=F.l1_loss, discriminator_rate=0.0))


def test_pictures_too_small_for_the_discriminator_are_refused_before_anything_runs():
    model, judge = _networks()
    ran = []
    model.register_forward_hook(lambda *_: ran.append(1))
    pairs = [(torch.zeros(3, 5, 3), torch.zeros(3, 5, 3))] * BATCH
    with pytest.raises(ValueError, match=r"at least 4x4 px, got hq of shape \(4, 3, 5, 3\).*larger patches"):
        _fit(model, pairs, adversarial(judge, content=F.l1_loss))
    assert ran == []


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        (torch.zeros(3, 8, 8), TypeError, r"batches \(lq, hq\)"),
        ((torch.zeros(3, 4, 4), torch.zeros(3, 8, 8)), ValueError, "must have the same shape"),
    ],
)
def test_wrong_batches_are_refused(item, error, message):
    model, judge = _networks()
    with pytest.raises(error, match=message):
        _fit(model, [item] * BATCH, adversarial(judge, content=F.l1_loss))
