"""Small networks around any function, and the comparison of what rewriting makes of them with what they do."""

import copy

import torch
from torch import fx, nn

from restorekit.inference._rewrites.convolution import FusedConv2d
from restorekit.inference._rewrites.pipeline import rewritten
from restorekit.models import Restorer

SIZES = ((1, 1), (2, 9), (13, 6))


class Around(Restorer):
    """A network that applies a function of itself and the picture; its layers are attributes."""

    def __init__(self, function, *, scale=1, multiple=1, channels=3, **layers):
        super().__init__([scale], size_multiple=multiple, in_channels=channels, config={})
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, x, scale=None):
        self.check_input(x)
        return self.crop(self.function(self, self.pad(x)), x, self.pick_scale(scale))


class Pooling(Restorer):
    """A network by 2 that sees the whole picture."""

    receptive_radius = None

    def __init__(self):
        super().__init__([2], size_multiple=1, in_channels=3, config={})
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x, scale=None):
        x = self.convolution(x) + x.mean(dim=(-2, -1), keepdim=True)
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def conv(inputs=4, outputs=4, size=3, **options):
    return nn.Conv2d(inputs, outputs, size, padding=options.pop("padding", size // 2), **options)


def around(function, *, scale=1, multiple=1, channels=3, **layers):
    """The network in float64 with random weights, statistics too."""
    torch.manual_seed(0)
    model = Around(function, scale=scale, multiple=multiple, channels=channels, **layers).double().eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in (layer.weight, layer.running_mean, layer.running_var):
                if tensor is not None:
                    nn.init.uniform_(tensor, 0.5, 1.5)
    return model


def pictures(model, height, width, batch=2):
    generator = torch.Generator().manual_seed(height * 100 + width)
    return torch.randn(batch, model.in_channels, height, width, generator=generator, dtype=torch.float64)


def same(model, sizes=SIZES):
    """Rewrite a network, in float64 and in float32, which oneDNN computes; return the graph once both agree with it."""
    wide = rewritten(model, model.scale, torch.float64)
    narrow = rewritten(copy.deepcopy(model).float(), model.scale, torch.float32)
    for height, width in sizes:
        x = pictures(model, height * model.size_multiple, width * model.size_multiple)
        given = x.clone()
        with torch.no_grad():
            expected = model(x.clone())
            for graph, tolerance in ((wide, 1e-12), (narrow, 1e-5)):
                dtype = next(model.parameters()).dtype if graph is wide else torch.float32
                out = graph(x.to(dtype).contiguous(memory_format=torch.channels_last))
                assert out.dtype == dtype
                assert (out - expected).abs().max() <= tolerance * expected.abs().max().clamp(min=1)
        assert torch.equal(x, given)
    return wide


def nodes(graph):
    """The nodes of a graph and of the strips in it."""
    for node in graph.graph.nodes:
        module = graph.get_submodule(node.target) if node.op == "call_module" else None
        yield from nodes(module.tail) if isinstance(getattr(module, "tail", None), fx.GraphModule) else [(node, module)]


def steps(graph):
    """What a graph calls, one after the other: names of functions and methods, classes of modules."""
    return [
        type(module).__name__ if module is not None else getattr(node.target, "__name__", node.target)
        for node, module in nodes(graph)
        if node.op in {"call_module", "call_function", "call_method"}
    ]


def fused(graph):
    """The convolutions of a graph in their order."""
    return [module for _, module in nodes(graph) if isinstance(module, FusedConv2d)]
