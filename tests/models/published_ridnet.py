"""RIDNet's published checkpoint file, made by rule: its key names and shapes."""

from models.published import conv, means


def ridnet(*, channels=64, blocks=4, reduction=16):
    keys = means("") | conv("head.body.0", channels, 3, 3) | conv("tail", 3, channels, 3)
    for i in range(1, blocks + 1):
        for branch in ("body1.0", "body1.2", "body2.0", "body2.2"):
            keys |= conv(f"b{i}.r1.{branch}", channels, channels, 3)
        keys |= conv(f"b{i}.r1.body3.0", channels, 2 * channels, 3)
        for unit in ("r2.body.0", "r2.body.2", "r3.body.0", "r3.body.2"):
            keys |= conv(f"b{i}.{unit}", channels, channels, 3)
        keys |= conv(f"b{i}.r3.body.4", channels, channels, 1)
        keys |= conv(f"b{i}.ca.c1.body.0", channels // reduction, channels, 1)
        keys |= conv(f"b{i}.ca.c2.body.0", channels, channels // reduction, 1)
    return keys
