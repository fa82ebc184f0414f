"""Lists of discriminators, and files of them as the authors of the MDF loss published theirs: whole networks."""

import pickle
import pickletools
import sys
from collections import OrderedDict
from io import BytesIO
from types import ModuleType

import torch
from torch import nn

from restorekit.models import SinGANDiscriminator


class ConvBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3)
        self.norm = nn.BatchNorm2d(outputs)
        self.LeakyRelu = nn.LeakyReLU(0.2, inplace=True)


class WDiscriminator(nn.Module):
    def __init__(self, channels, inputs):
        super().__init__()
        self.is_cuda = True
        self.head = ConvBlock(inputs, channels)
        self.body = nn.Sequential(OrderedDict((f"block{i}", ConvBlock(channels, channels)) for i in (1, 2, 3)))
        self.tail = nn.Conv2d(channels, 1, 3)


# Attributes that PyTorch's modules did not have then.
LATER = ("_non_persistent_buffers_set", "_backward_pre_hooks", "_is_full_backward_hook", "_forward_hooks_with_kwargs",
         "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs", "_load_state_dict_post_hooks")  # fmt: skip


def as_published(discriminator):
    """The same network as the authors' code builds it, frozen."""
    network = WDiscriminator(discriminator.config["channels"], discriminator.in_channels)
    network.load_state_dict(discriminator.state_dict())
    return network.requires_grad_(False).eval()


def write_published(networks, path, monkeypatch):
    """Save networks of the classes above as if these lay in the authors' package; they do not run any more then."""
    package, models = ModuleType("SinGAN"), ModuleType("SinGAN.models")
    models.__file__ = __file__
    for kind in (ConvBlock, WDiscriminator):
        monkeypatch.setattr(kind, "__module__", "SinGAN.models")
        setattr(models, kind.__name__, kind)
    for module in [module for network in networks for module in network.modules()]:
        for name in LATER:
            module.__dict__.pop(name, None)
        for name in {"_parameters", "_buffers", "_modules"} & set(module.__dict__):
            module.__dict__[name] = OrderedDict(module.__dict__[name])
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "SinGAN", package)
        patch.setitem(sys.modules, "SinGAN.models", models)
        torch.save(networks, path, _use_new_zipfile_serialization=False)
    return path


def word(text):
    """A text as these files hold it."""
    return b"X" + len(text.encode()).to_bytes(4, "little") + text.encode()


def without_sources(data):
    """The file without the source texts of its classes, of which a reader makes no use."""
    file = BytesIO(data)
    for _ in range(3):
        pickle.load(file)
    texts = [text for _, text, _ in pickletools.genops(file) if isinstance(text, str) and "\n" in text]
    for text in texts:
        data = data.replace(word(text), word(""))
    assert len(texts) == 6
    return data


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


def flat(models):
    """The tensors of all of them as a file names them."""
    return {f"{i}.{key}": tensor for i, model in enumerate(models) for key, tensor in model.state_dict().items()}


def assert_same(found, expected):
    assert [model.config for model in found] == [model.config for model in expected]
    assert [(model.training, next(model.parameters()).device.type) for model in found] == [(False, "cpu")] * len(found)
    for model, other in zip(found, expected, strict=True):
        own, wanted = model.state_dict(), other.state_dict()
        assert list(own) == list(wanted)
        assert all(torch.equal(own[key], wanted[key]) and own[key].dtype == wanted[key].dtype for key in own)
