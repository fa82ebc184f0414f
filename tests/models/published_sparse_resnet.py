"""NSR's files as the authors store them: key names and shapes."""

from models.published import conv

# What the authors' module returns for ``picture(24, 24)`` and its mirror image: 2 blocks of 8 channels, 4 times as wide
# inside, 4 candidates, cardinality 4.
PARITY = {
    1: ((2, 3, 24, 24), 0.5078080869279802, 0.41065516022540693, (-0.177234, 1.003721, -0.273137)),
    2: ((2, 3, 48, 48), 0.44325686621488314, 0.56503401214254, (-0.026993, 0.501859, 1.040588)),
}


def normed(name, out_channels, in_channels, kernel):
    """A convolution under weight norm."""
    weight = {f"{name}.weight_v": (out_channels, in_channels, kernel, kernel)}
    return weight | {f"{name}.weight_g": (out_channels, 1, 1, 1), f"{name}.bias": (out_channels,)}


def mixed(name, out_channels, in_channels, groups, cardinality, depth):
    """A convolution of a block; dense without groups."""
    keys = normed(name, (groups or 1) * out_channels, in_channels, 3)
    for i in range(depth if groups else 0):
        outputs = groups * cardinality if i == depth - 1 else in_channels
        layer = conv(f"{name}.mlp.{2 * i}", outputs, in_channels, 1)
        keys |= {key: shape[:2] for key, shape in layer.items()}
    return keys


def nsr(scale, channels=32, width=4, blocks=16, groups=4, cardinality=1, depth=1):
    keys = normed("body.0", channels, 3, 3)
    for i in range(1, blocks + 1):
        keys |= mixed(f"body.{i}.body.0", width * channels, channels, groups, cardinality, depth)
        keys |= mixed(f"body.{i}.body.2", channels, width * channels, groups, cardinality, depth)
    keys |= normed(f"body.{blocks + 1}", 3 * scale**2, channels, 3)
    return keys | (normed("skip.0", 3 * scale**2, 3, 5) if scale > 1 else {})
