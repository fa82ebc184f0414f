"""Keys and shapes of the files of SRCNN, FSRCNN, VDSR, ZSSR and DnCNN that are in circulation, made by rule."""

from models.published import batch_norm, conv


def srcnn(in_channels=1, channels=(64, 32), kernels=(9, 5, 5)):
    widths = (in_channels, *channels, in_channels)
    keys = {}
    for i, kernel in enumerate(kernels):
        keys |= conv(f"conv{i + 1}", widths[i + 1], widths[i], kernel)
    return keys


def fsrcnn(in_channels=1, channels=56, shrunk=12, blocks=4):
    """The same at every scale."""
    sizes = [(shrunk, channels, 1), *[(shrunk, shrunk, 3)] * blocks, (channels, shrunk, 1)]
    keys = conv("first_part.0", channels, in_channels, 5) | {"first_part.1.weight": (channels,)}
    for i, (outputs, inputs, kernel) in enumerate(sizes):
        keys |= conv(f"mid_part.{2 * i}", outputs, inputs, kernel) | {f"mid_part.{2 * i + 1}.weight": (outputs,)}
    return keys | {"last_part.weight": (channels, in_channels, 9, 9), "last_part.bias": (in_channels,)}


def vdsr(in_channels=1, channels=64, depth=20):
    keys = {}
    for i in range(depth - 2):
        keys |= conv(f"residual_layer.{i}.conv", channels, channels, 3, bias=False)
    return (
        keys
        | conv("input", channels, in_channels, 3, bias=False)
        | conv("output", in_channels, channels, 3, bias=False)
    )


def zssr(in_channels=3, channels=64, depth=8):
    widths = (in_channels, *[channels] * (depth - 1), in_channels)
    return {f"filter_{i}": (3, 3, widths[i], widths[i + 1]) for i in range(depth)}


def dncnn(depth=17, in_channels=1, channels=64, *, merged=False):
    """Layers count with their ReLUs: convolution, ReLU, or convolution, BatchNorm, ReLU."""
    step = 2 if merged else 3
    keys = conv("model.0", channels, in_channels, 3)
    for place in range(2, 2 + step * (depth - 2), step):
        keys |= conv(f"model.{place}", channels, channels, 3)
        keys |= {} if merged else batch_norm(f"model.{place + 1}", channels)
    return keys | conv(f"model.{2 + step * (depth - 2)}", in_channels, channels, 3)


def msrresnet0():
    """Enough of KAIR's MSRResNet0 to be mistaken for a DnCNN: its list begins alike and nests its units."""
    keys = conv("model.0", 64, 3, 3) | conv("model.2", 256, 64, 3) | conv("model.5", 256, 64, 3)
    return keys | conv("model.1.sub.0.res.0", 64, 64, 3) | conv("model.1.sub.0.res.2", 64, 64, 3)
