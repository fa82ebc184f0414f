"""MEPSNet's file as its authors store it: key names and shapes."""

from itertools import product

from models.published import conv, means

# What the authors' module returns, in 0 to 255, for the left 32 x 32 px picture, in its published size and in a small
# one: 4 templates, 8 and 16 channels, 2 experts of 2 units of 2 blocks.
PARITY = ((32, 32), 109.63184135655563, 4.8077526603980445, (114.396881, 111.450394, 103.050636))
SMALL_PARITY = ((32, 32), -60.819999211778246, 1607.154480073963, (659.110352, -720.156555, -547.260925))


def official(experts=3, units=3, blocks=12, templates=16, channels=64, extraction=256, *, aliases=True):
    bank = (templates, channels, channels, 3, 3)
    keys = means("") | {"bank.templates": bank} | conv("head.0.expand_conv1", extraction // 2, 3, 3)
    keys |= conv("head.0.expand_conv2", extraction, extraction // 2, 3)
    keys |= conv("head.0.conv", extraction, extraction, 3)
    holders = []
    for e in range(experts):
        keys |= conv(f"body.{e}.head.0", channels, extraction, 3) | conv(f"body.{e}.tail.0", channels, channels, 3)
        places = product(range(units), range(blocks), (0, 2))
        layers = [f"body.{e}.body.{u}.body.{b}.body.{i}" for u, b, i in places]
        keys |= {f"{layer}.coefficients": (templates, 1, 1, 1, 1) for layer in layers}
        holders += [f"body.{e}", *layers]
    width = experts * channels
    keys |= conv(f"body.{experts}.squeeze", width // 2, width, 1)
    keys |= conv(f"body.{experts}.excitation", width, width // 2, 1)
    keys |= conv("tail.0.reconst.0", width // 2, width, 3) | conv("tail.0.reconst.2", 3, width // 2, 3)
    return keys | ({f"{holder}.bank.templates": bank for holder in holders} if aliases else {})
