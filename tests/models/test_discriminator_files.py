import pytest
import torch

from restorekit.models import SinGANDiscriminator, load_discriminators, save_discriminators


def discriminators(channels=(4, 4, 6), in_channels=3):
    """Discriminators whose statistics and counters are not those of their construction."""
    generator = torch.Generator().manual_seed(0)
    built = [SinGANDiscriminator(in_channels, channels=width) for width in channels]
    for model in built:
        for key, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.1)
            else:
                tensor.fill_(12_000 + len(key))
    return built


def assert_same(found, expected):
    assert [model.config for model in found] == [model.config for model in expected]
    for model, other in zip(found, expected, strict=True):
        own, wanted = model.state_dict(), other.state_dict()
        assert list(own) == list(wanted)
        assert all(torch.equal(own[key], wanted[key]) and own[key].dtype == wanted[key].dtype for key in own)


def test_round_trip(tmp_path):
    models = discriminators()
    save_discriminators(models, tmp_path / "ds.safetensors")
    found = load_discriminators(tmp_path / "ds.safetensors")
    assert_same(found, models)
    assert not any(model.training for model in found)


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_state_dicts_is_read(tmp_path, kind):
    models = discriminators()
    torch.save(kind(model.state_dict() for model in models), tmp_path / "ds.pth")
    assert_same(load_discriminators(tmp_path / "ds.pth"), models)
