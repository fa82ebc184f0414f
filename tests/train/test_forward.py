"""What surrounds the model in a step: layout of the pictures, autocast, and nothing else."""

import copy

import pytest
import torch
from torch import nn

from restorekit.models import carn_m
from restorekit.train import fit, supervised
from restorekit.train._forward import Forward


class Watch(nn.Module):
    """Notes what it gets, and gives it back together with its flattened copy."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3, 3, 3))
        self.seen = []

    def forward(self, x, *, label=None, others=()):
        self.seen.append((x, label, others))
        return {"features": nn.functional.conv2d(x, self.weight, padding=1), "flat": x.flatten(1)}


def channels_last(x):
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def pictures(seed=0):
    return torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("autocast", [None, "cpu"])
def test_pictures_go_in_channels_last_and_come_out_contiguous(autocast):
    model, x, label = Watch(), pictures(), torch.tensor([1, 2])
    before = x.clone()
    out = Forward(model, autocast=autocast, channels_last=True)(x, label=label, others=[x, "name"])
    inside, same, others = model.seen[0]
    assert channels_last(inside)
    assert channels_last(others[0])
    assert same is label
    assert others[1] == "name"
    assert torch.equal(inside, before)
    assert x.is_contiguous()
    assert out["features"].is_contiguous()
    assert {value.dtype for value in out.values()} == {torch.float32}
    assert model.weight.is_contiguous()


def test_without_it_pictures_are_handed_on():
    model, x = Watch(), pictures()
    Forward(model, autocast=None, channels_last=False)(x)
    assert model.seen[0][0] is x


def test_values_and_gradients_do_not_depend_on_the_layout():
    first = carn_m(2, channels=8, blocks=1).double()
    second = copy.deepcopy(first)
    for model, layout in ((first, True), (second, False)):
        Forward(model, autocast=None, channels_last=layout)(pictures().double()).square().sum().backward()
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-10, atol=1e-12)
        assert one.grad.stride() == one.stride()  # what Adam's one pass relies on


def test_autocast_computes_in_bfloat16():
    model, x = nn.Conv2d(3, 4, 3), pictures()
    exact, out = model(x), Forward(model, autocast="cpu", channels_last=True)(x)
    assert torch.equal(out, out.bfloat16().float())
    assert 0 < (out - exact).abs().max() < 0.02


@pytest.mark.parametrize("layout", [True, False])
def test_fit_takes_the_layout_and_leaves_the_weights_theirs(layout):
    seen = []

    class Model(nn.Conv2d):
        def forward(self, x):
            seen.append(channels_last(x))
            return super().forward(x)

    model = Model(3, 3, 3, padding=1)
    options = {"steps": 2, "batch_size": 2, "step": supervised(), "progress": False}
    fit(model, [(x, x) for x in pictures()], channels_last=layout, **options)
    assert seen == [layout] * 2
    assert all(weight.is_contiguous() for weight in model.state_dict().values())


def test_weights_that_are_no_one_piece_of_memory_train_as_well():
    """A pass that took them for one would change what lies between."""
    base, torch_seed = torch.rand(8, 3, 3, 3, generator=torch.Generator().manual_seed(1)), 0
    ends = []
    for strided in (True, False):
        torch.manual_seed(torch_seed)
        model, store = nn.Conv2d(3, 4, 3, padding=1), base.clone()
        model.weight = nn.Parameter(store[::2] if strided else store[::2].clone())
        target = torch.zeros(4, 4, 5)
        fit(model, [(x, target) for x in pictures()], steps=3, batch_size=2, learning_rate=0.01, progress=False)
        ends.append((model.weight.detach().clone(), store[1::2]))
    assert torch.allclose(ends[0][0], ends[1][0], rtol=0, atol=1e-6)
    assert not torch.equal(ends[0][0], base[::2])
    assert torch.equal(ends[0][1], base[1::2])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_run_goes_on_with_weights_in_another_layout(tmp_path, layout):
    """The file holds moments in the layout of before; a pass that took both for one would mix them up."""
    pairs, path = [(x, torch.zeros(4, 4, 5)) for x in pictures()], tmp_path / "run.pt"
    options = {"batch_size": 2, "learning_rate": 0.01, "progress": False}
    torch.manual_seed(0)
    first = nn.Conv2d(3, 4, 3, padding=1)
    whole, second = copy.deepcopy(first), copy.deepcopy(first).to(memory_format=layout)
    fit(whole, pairs, steps=6, **options)
    fit(first, pairs, steps=3, checkpoint=path, **options)
    fit(second, pairs, steps=6, checkpoint=path, **options)
    assert torch.allclose(second.weight, whole.weight, rtol=0, atol=1e-6)
