"""EDSR's files as the authors, CutBlur and BasicSR store them: key names and shapes."""

from models.published import conv, means, upsampler

FACTORS = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}

# What CutBlur's module returns, in 0 to 255, for the picture enlarged by repeating pixels: 2 blocks of 16 channels.
PARITY = {
    4: ((96, 128), 109.68490107688639, 9.884325906936917, (123.202606, 105.421738, 106.40564)),
    1: ((24, 32), 110.81875627570682, 340.7896800509623, (-510.770844, 749.043396, -536.484375)),
}


def official(scale, channels=64, blocks=16, *, entry="head.0", folded=1):
    keys = means("") | conv(entry, channels, 3 * folded**2, 3)
    for i in range(blocks):
        keys |= conv(f"body.{i}.body.0", channels, channels, 3) | conv(f"body.{i}.body.2", channels, channels, 3)
    keys |= conv(f"body.{blocks}", channels, channels, 3)
    return keys | upsampler("tail.0", FACTORS[scale], step=2, channels=channels) | conv("tail.1", 3, channels, 3)


def cutblur(scale, channels=256, blocks=32):
    return official(scale, channels, blocks, entry="head.1", folded=scale)


def basicsr(scale, channels=64, blocks=16):
    keys = conv("conv_first", channels, 3, 3)
    for i in range(blocks):
        keys |= conv(f"body.{i}.conv1", channels, channels, 3) | conv(f"body.{i}.conv2", channels, channels, 3)
    keys |= conv("conv_after_body", channels, channels, 3)
    return keys | upsampler("upsample", FACTORS[scale], step=2, channels=channels) | conv("conv_last", 3, channels, 3)
