"""RDN's published checkpoint files, made by rule: their key names and shapes."""

from models.published import conv, upsampler

FACTORS = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}


def _body(block, layer, fusion, fusions, *, channels, growth, blocks, layers):
    keys = {}
    for i in range(blocks):
        for j in range(layers):
            keys |= conv(f"{block}.{i}.{layer.format(j)}", growth, channels + j * growth, 3)
        keys |= conv(f"{block}.{i}.{fusion}", channels, channels + layers * growth, 1)
    return keys | conv(f"{fusions}.0", channels, blocks * channels, 1) | conv(f"{fusions}.1", channels, channels, 3)


def rdn_edsr_pytorch(scale, *, channels=64, growth=64, blocks=16, layers=8, in_channels=3):
    sizes = {"channels": channels, "growth": growth, "blocks": blocks, "layers": layers}
    keys = conv("SFENet1", channels, in_channels, 3) | conv("SFENet2", channels, channels, 3)
    keys |= _body("RDBs", "convs.{}.conv.0", "LFF", "GFF", **sizes)
    keys |= upsampler("UPNet", FACTORS[scale], step=2, channels=channels)
    return keys | conv(f"UPNet.{2 * len(FACTORS[scale])}", in_channels, channels, 3)


def rdn_yjn870(scale, *, channels=64, growth=64, blocks=16, layers=8, in_channels=3):
    sizes = {"channels": channels, "growth": growth, "blocks": blocks, "layers": layers}
    keys = conv("sfe1", channels, in_channels, 3) | conv("sfe2", channels, channels, 3)
    keys |= _body("rdbs", "layers.{}.conv", "lff", "gff", **sizes)
    keys |= upsampler("upscale", FACTORS[scale], step=2, channels=channels)
    return keys | conv("output", in_channels, channels, 3)
