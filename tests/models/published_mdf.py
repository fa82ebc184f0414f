"""Files as the authors of the MDF loss published them: whole networks, in PyTorch's format of before 2020."""

import inspect
import sys
from collections import OrderedDict
from types import ModuleType

import torch
from torch import nn


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


CLASSES = (WDiscriminator, ConvBlock, nn.Sequential, nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU)
# Attributes that PyTorch's modules did not have then.
LATER = ("_non_persistent_buffers_set", "_backward_pre_hooks", "_is_full_backward_hook", "_forward_hooks_with_kwargs",
         "_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs", "_load_state_dict_post_hooks")  # fmt: skip


def as_published(discriminator):
    """The same network as the authors' code builds it, frozen."""
    network = WDiscriminator(discriminator.config["channels"], discriminator.in_channels)
    network.load_state_dict(discriminator.state_dict())
    for module in network.requires_grad_(False).eval().modules():
        for name in LATER:
            module.__dict__.pop(name, None)
        for name in ("_parameters", "_buffers", "_modules"):
            module.__dict__[name] = OrderedDict(module.__dict__[name])
    return network


def write_published(content, path, monkeypatch):
    """Save networks of the classes above as if these lay in the authors' package."""
    package, models = ModuleType("SinGAN"), ModuleType("SinGAN.models")
    models.__file__ = __file__
    for kind in (ConvBlock, WDiscriminator):
        monkeypatch.setattr(kind, "__module__", "SinGAN.models")
        setattr(models, kind.__name__, kind)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "SinGAN", package)
        patch.setitem(sys.modules, "SinGAN.models", models)
        torch.save(content, path, _use_new_zipfile_serialization=False)
    return path


def without_sources(data):
    """The file without the text of its classes, of which a reader makes no use."""
    for kind in CLASSES:
        text = inspect.getsource(kind).encode()
        assert data.count(text) == 1
        data = data.replace(b"X" + len(text).to_bytes(4, "little") + text, b"X" + bytes(4))
    return data
