"""RCAN's files as the authors, CutBlur and BasicSR store them: key names and shapes."""

from models.published import conv, means, upsampler
from models.published_edsr import FACTORS

# What CutBlur's module returns, in 0 to 255, for the picture enlarged by repeating pixels: 2 groups of 2 blocks, 16
# channels, reduction 4.
PARITY = ((96, 128), 78.7229409729027, 100336.50681683875, (73265.648438, -51445.867188, 29235.15625))


def _groups(groups, blocks, channels, inner, names):
    group, block, squeeze, excite, group_exit = names
    keys = {}
    for g in range(groups):
        for b in range(blocks):
            unit = f"body.{g}.{group}.{b}.{block}"
            keys |= conv(f"{unit}.0", channels, channels, 3) | conv(f"{unit}.2", channels, channels, 3)
            keys |= conv(f"{unit}.3.{squeeze}", inner, channels, 1) | conv(f"{unit}.3.{excite}", channels, inner, 1)
        keys |= conv(f"body.{g}.{group_exit.format(blocks)}", channels, channels, 3)
    return keys


def official(scale, channels=64, groups=10, blocks=20, reduction=16, *, entry="head.0", folded=1):
    names = ("body", "body", "conv_du.0", "conv_du.2", "body.{}")
    keys = means("") | conv(entry, channels, 3 * folded**2, 3)
    keys |= _groups(groups, blocks, channels, channels // reduction, names)
    keys |= conv(f"body.{groups}", channels, channels, 3)
    return keys | upsampler("tail.0", FACTORS[scale], step=2, channels=channels) | conv("tail.1", 3, channels, 3)


def cutblur(scale, *sizes):
    return official(scale, *sizes, entry="head.1", folded=scale)


def basicsr(scale, channels=64, groups=10, blocks=20, reduction=16):
    names = ("residual_group", "rcab", "attention.1", "attention.3", "conv")
    keys = conv("conv_first", channels, 3, 3) | _groups(groups, blocks, channels, channels // reduction, names)
    keys |= conv("conv_after_body", channels, channels, 3)
    return keys | upsampler("upsample", FACTORS[scale], step=2, channels=channels) | conv("conv_last", 3, channels, 3)
