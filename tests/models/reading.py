"""What holds for every published layout: it is read, by load_checkpoint and load_weights alike, and damage is named."""

import pytest
import torch
from models import published
from models.published import published_weights

from restorekit.models import load_checkpoint, load_weights, save_weights


def write(tensors, tmp_path):
    torch.save(tensors, tmp_path / "published.pth")
    return tmp_path / "published.pth"


def skeleton(layout):
    """The file's tensors without memory."""
    return {key: torch.empty(shape, device="meta") for key, shape in layout.items()}


def shapes(tensors):
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


def assert_same_network(model, other):
    assert type(model) is type(other)
    own, expected = model.state_dict(), other.state_dict()
    assert own.keys() == expected.keys()
    assert all(torch.equal(own[key], expected[key]) for key in own)


def assert_read(layout, built, tmp_path):
    """Into a new network and into ``built``, which fits the file; and on through a file of this library."""
    path = write(published_weights(layout), tmp_path)
    model = load_checkpoint(path)
    assert not model.training
    assert {k: v for k, v in model.config.items() if k != "mean"} == {
        k: v for k, v in built.config.items() if k != "mean"
    }
    load_weights(built, path)
    assert_same_network(built, model)
    save_weights(model, tmp_path / "own.safetensors")
    again = load_checkpoint(tmp_path / "own.safetensors")
    assert again.config == model.config
    assert_same_network(again, model)


def assert_half_precision_read(layout, tmp_path):
    exact = load_checkpoint(write(published_weights(layout), tmp_path)).state_dict()
    half = {key: tensor.half() for key, tensor in published_weights(layout).items()}
    found = load_checkpoint(write(half, tmp_path)).state_dict()
    for key, tensor in found.items():
        assert tensor.dtype == torch.float32
        assert torch.allclose(tensor, exact[key], rtol=2e-3, atol=1e-3 * exact[key].abs().max().item())


def assert_damage_is_named(layout, key, tmp_path):
    """``key`` is any kernel of the file."""
    tensors = published_weights(layout)
    short = {name: tensor for name, tensor in tensors.items() if name != key}
    with pytest.raises(ValueError, match=f"misses the key '{key}'"):
        load_checkpoint(write(short, tmp_path))
    with pytest.raises(ValueError, match=r"has the unexpected key 'extra\.weight'"):
        load_checkpoint(write({**tensors, "extra.weight": torch.zeros(1)}, tmp_path))
    with pytest.raises(ValueError, match=r"has shape|cannot be (read|built)"):
        load_checkpoint(write({**tensors, key: tensors[key][:, :, :1, :1].repeat(2, 1, 1, 1)}, tmp_path))


def assert_others_do_not_match(network):
    others = [published.carn(), published.pcarn(), published.cutblur(4), published.edsr(), published.rcan()]
    assert network.layouts
    assert [layout.name for layout in network.layouts if any(layout.matches(other) for other in others)] == []
