"""The checkpoint file of the progressive CARN, made by rule: its key names and shapes."""

from models.published import conv


def _module(name, blocks, units, channels):
    keys = conv(f"{name}.up.body.0", 4 * channels, channels, 3)
    for i in range(1, blocks + 1):
        keys |= conv(f"{name}.c{i}.body.0", channels, (i + 1) * channels, 1)
        for j in range(1, units + 1):
            keys |= conv(f"{name}.b{i}.c{j}.body.0", channels, (j + 1) * channels, 1)
            keys |= conv(f"{name}.b{i}.b{j}.body.1", channels, channels, 3)
            keys |= conv(f"{name}.b{i}.b{j}.body.3", channels, channels, 3)
    return keys


def progressive_carn(stages=3, blocks=8, units=4, channels=64):
    keys = conv("entry.body.0", channels, 3, 3)
    for k in range(stages):
        keys |= _module(f"progression.{k}", blocks, units, channels) | conv(f"to_rgb.{k}", 3, channels, 3)
    return keys
