"""The plain step: loss of the prediction, pairs changed by the augmentation first."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from restorekit.train import supervised


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, 4, 5, generator=generator), torch.rand(2, 3, 4, 5, generator=generator)


def test_the_loss_is_l1_by_default(pair):
    lq, hq = pair
    loss = supervised()(torch.nn.Identity(), [lq, hq], torch.Generator())
    assert float(loss) == pytest.approx((lq - hq).abs().mean().item(), abs=1e-7)


def test_another_loss_gets_prediction_then_target(pair):
    lq, hq = pair
    loss = supervised(loss=lambda prediction, target: (2 * prediction - target).sum())
    assert float(loss(torch.nn.Identity(), pair, torch.Generator())) == pytest.approx(float((2 * lq - hq).sum()))


def test_the_gradient_reaches_the_model(pair):
    model = torch.nn.Conv2d(3, 3, 1)
    supervised(loss=F.mse_loss)(model, pair, torch.Generator()).backward()
    assert float(model.weight.grad.abs().sum()) > 0


def test_the_augmentation_draws_from_the_steps_generator(pair):
    def shift(lq, hq, *, generator=None):
        return lq, hq + torch.rand((), generator=generator)

    step = supervised(loss=lambda prediction, target: target.sum(), augment=shift)
    losses = [float(step(torch.nn.Identity(), pair, torch.Generator().manual_seed(seed))) for seed in (5, 5, 6)]
    drawn = torch.rand((), generator=torch.Generator().manual_seed(5))
    assert losses[0] == pytest.approx(float((pair[1] + drawn).sum()))
    assert losses[0] == losses[1] != losses[2]


def test_the_pair_is_not_written_into(pair):
    before = [part.clone() for part in pair]
    supervised(augment=lambda lq, hq, *, generator=None: (lq * 2, hq * 2))(torch.nn.Identity(), pair, torch.Generator())
    assert all(torch.equal(part, old) for part, old in zip(pair, before, strict=True))


@pytest.mark.parametrize("batch", [torch.zeros(2, 3, 4, 4), (torch.zeros(1, 3, 4, 4),), {"lq": 0, "hq": 1}])
def test_a_batch_that_is_no_pair_is_refused(batch):
    with pytest.raises(TypeError, match=r"batches \(lq, hq\)"):
        supervised()(torch.nn.Identity(), batch, torch.Generator())


def test_a_prediction_of_another_size_is_refused():
    batch = (torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="must have the same shape"):
        supervised()(torch.nn.Identity(), batch, torch.Generator())


@given(size=st.integers(1, 7), micro_batch=st.integers(1, 8), seed=st.integers(0, 99))
def test_parts_of_a_batch_add_up_to_the_whole(size, micro_batch, seed):
    generator = torch.Generator().manual_seed(seed)
    pair = [torch.rand(size, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2)]
    whole = torch.nn.Conv2d(3, 3, 3, padding=1).double()
    parts = copy.deepcopy(whole)
    seen = []
    parts.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))

    def swap(lq, hq, *, generator=None):  # partners from the whole batch
        order = torch.randperm(len(lq), generator=generator)
        return lq + lq[order], hq

    losses = []
    for model, number in ((whole, None), (parts, micro_batch)):
        step = supervised(augment=swap, micro_batch=number)
        losses.append(step(model, pair, torch.Generator().manual_seed(seed)))
        losses[-1].backward()
    assert sum(seen) == size
    assert max(seen) == min(size, micro_batch)
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-12)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=0, atol=1e-12)


def test_only_one_part_waits_for_its_gradient(pair):
    weight = torch.nn.Parameter(torch.ones(()))
    model = torch.nn.Module()
    model.forward = lambda x: x * weight
    held = []

    def loss(prediction, target):
        held.append(0 if weight.grad is None else 1)
        return prediction.mean()

    supervised(loss=loss, micro_batch=1)(model, pair, torch.Generator()).backward()
    assert held == [0, 1]
    assert weight.grad.item() == pytest.approx(pair[0].mean().item(), rel=1e-5)


@pytest.mark.parametrize(("wrong", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), ("2", TypeError)])
def test_parts_have_a_whole_number_of_pictures(wrong, error):
    with pytest.raises(error, match="micro_batch must be"):
        supervised(micro_batch=wrong)


@pytest.mark.parametrize("name", ["loss", "augment"])
def test_what_is_no_function_is_refused_at_once(name):
    with pytest.raises(TypeError, match=f"{name} must be a function of .*, got str"):
        supervised(**{name: "l1"})
