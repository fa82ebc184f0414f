"""The files of SRResNet without batch normalisation as BasicSR and KAIR store them: key names and shapes."""

from models.published import conv
from models.published_edsr import FACTORS


def _blocks(name, convs, channels, blocks):
    keys = {}
    for i in range(blocks):
        for inner in convs:
            keys |= conv(f"{name}.{i}.{inner}", channels, channels, 3)
    return keys


def basicsr(scale, channels=64, blocks=16, *, body="body", last="conv_hr"):
    keys = conv("conv_first", channels, 3, 3) | _blocks(body, ("conv1", "conv2"), channels, blocks)
    for stage, factor in enumerate(FACTORS[scale]):
        keys |= conv(f"upconv{stage + 1}", channels * factor**2, channels, 3)
    return keys | conv(last, channels, channels, 3) | conv("conv_last", 3, channels, 3)


def kair1(scale, channels=64, blocks=16):
    return basicsr(scale, channels, blocks, body="recon_trunk", last="HRconv")


def kair0(scale, channels=64, blocks=16, *, shuffled):
    keys = conv("model.0", channels, 3, 3) | _blocks("model.1.sub", ("res.0", "res.2"), channels, blocks)
    keys |= conv(f"model.1.sub.{blocks}", channels, channels, 3)
    for stage, factor in enumerate(FACTORS[scale]):
        name = f"model.{3 * stage + (2 if shuffled else 3)}"
        keys |= conv(name, channels * (factor**2 if shuffled else 1), channels, 3)
    last = 3 * len(FACTORS[scale]) + 2
    return keys | conv(f"model.{last}", channels, channels, 3) | conv(f"model.{last + 2}", 3, channels, 3, bias=False)
