"""RNAN's published checkpoint files, made by rule: their key names and shapes."""

from models.published import conv, means, upsampler


def _unit(name, channels):
    return conv(f"{name}.body.0", channels, channels, 3) | conv(f"{name}.body.2", channels, channels, 3)


def _group(name, channels, *, non_local):
    keys, mask, first = {}, f"{name}.body.0.RA_MB.0", 0
    if non_local:
        first = 1
        keys |= conv(f"{mask}.MB_RB1.0.W", channels, channels // 2, 1)
        for layer in ("theta", "phi", "g"):
            keys |= conv(f"{mask}.MB_RB1.0.{layer}", channels // 2, channels, 1)
    for unit in ("RA_RB1.0", "RA_TB.0.body.0", "RA_TB.0.body.1", "RA_tail.0", "RA_tail.1"):
        keys |= _unit(f"{name}.body.0.{unit}", channels)
    for unit in (f"MB_RB1.{first}", "MB_RB2.0", "MB_RB2.1", "MB_RB3.0"):
        keys |= _unit(f"{mask}.{unit}", channels)
    for layer, kernel in {"MB_Down.0": 3, "MB_Up.0": 6, "MB_1x1conv.0": 1}.items():
        keys |= conv(f"{mask}.{layer}", channels, channels, kernel)
    return keys | conv(f"{name}.body.1", channels, channels, 3)


def rnan(scale=1, *, channels=64, blocks=8, in_channels=3):
    keys = conv("head.0", channels, in_channels, 3) | conv(f"body.{blocks}", channels, channels, 3)
    for name in ("body_nl_low.0", "body_nl_high.0"):
        keys |= _group(name, channels, non_local=True)
    for i in range(blocks):
        keys |= _group(f"body.{i}", channels, non_local=False)
    if scale == 1:
        return keys | conv("tail.0", in_channels, channels, 3)
    keys |= upsampler("tail.0", {2: (2,), 3: (3,), 4: (2, 2)}[scale], step=2, channels=channels)
    return keys | conv("tail.1", in_channels, channels, 3) | means("")
