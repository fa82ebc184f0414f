"""The checkpoint file of PCARN's discriminator, made by rule: its key names and shapes."""

from models.published import batch_norm, conv


def pcarn_discriminator(channels=64, in_channels=3):
    widths, kernels = (1, 1, 2, 2, 4, 4, 8, 8), (4, 3, 4, 3, 4, 3, 3)
    keys = conv("body.0", channels, in_channels, 3) | conv("body.9", 1, 8 * channels, 3)
    for i, kernel in enumerate(kernels):
        outputs = channels * widths[i + 1]
        keys |= conv(f"body.{i + 2}.0", outputs, channels * widths[i], kernel)
        keys |= batch_norm(f"body.{i + 2}.1", outputs)
    return keys
