"""Restormer's files, and IDR's on top of it, as their authors store them: key names and shapes."""

from models.published import conv

POSITIONS = 3


def _block(name, channels, heads, norm_bias=True):
    hidden = int(2.66 * channels)
    keys = {f"{name}.attn.temperature": (heads, 1, 1)}
    for i in (1, 2):
        kinds = ("weight", "bias") if norm_bias else ("weight",)
        keys |= {f"{name}.norm{i}.body.{kind}": (channels,) for kind in kinds}
    shapes = {
        "attn.qkv": (3 * channels, channels, 1),
        "attn.qkv_dwconv": (3 * channels, 1, 3),
        "attn.project_out": (channels, channels, 1),
        "ffn.project_in": (2 * hidden, channels, 1),
        "ffn.dwconv": (2 * hidden, 1, 3),
        "ffn.project_out": (channels, hidden, 1),
    }
    for layer, shape in shapes.items():
        keys |= conv(f"{name}.{layer}", *shape, bias=False)
    return keys


def restormer(channels=48, blocks=(4, 6, 6, 8), heads=(1, 2, 4, 8), refinement=4, *, norm_bias=True, in_channels=3):
    c = channels
    keys = conv("patch_embed.proj", c, in_channels, 3, bias=False)
    keys |= conv("output", in_channels, 2 * c, 3, bias=False)
    for k, width in enumerate((c, 2 * c, 4 * c), 1):
        keys |= conv(f"down{k}_{k + 1}.body.0", width // 2, width, 3, bias=False)
        keys |= conv(f"up{k + 1}_{k}.body.0", 4 * width, 2 * width, 3, bias=False)
    for k in (2, 3):
        keys |= conv(f"reduce_chan_level{k}", 2 ** (k - 1) * c, 2**k * c, 1, bias=False)
    chains = {
        **{f"encoder_level{k + 1}": (2**k * c, blocks[k], heads[k]) for k in range(3)},
        "latent": (8 * c, blocks[3], heads[3]),
        **{f"decoder_level{k + 1}": (max(2**k, 2) * c, blocks[k], heads[k]) for k in range(3)},
        "refinement": (2 * c, refinement, heads[0]),
    }
    for chain, (width, depth, parts) in chains.items():
        for k in range(depth):
            keys |= _block(f"{chain}.{k}", width, parts, norm_bias)
    return keys


def _chain(name, entry, channels):
    """A convolution with PReLU and two residual blocks."""
    keys = conv(f"{name}.0.0", channels, entry, 3) | {f"{name}.0.1.weight": (1,)}
    for k in (1, 2):
        keys |= conv(f"{name}.{k}.conv1", channels, channels, 3) | conv(f"{name}.{k}.conv2", channels, channels, 3)
    return keys


def idle(name, channels, heads):
    """Parameters that the authors' attention to the priors holds and never uses."""
    keys = {f"{name}.attn.temperature": (heads, 1, 1)} | conv(f"{name}.attn.qkv", 3 * channels, channels, 1, bias=False)
    return keys | conv(f"{name}.attn.qkv_dwconv", 3 * channels, 1, 3, bias=False)


def meta_prior(name, channels, heads, prior_channels):
    c, hidden = channels, int(2.66 * channels)
    keys = idle(name, c, heads)
    for i in (1, 2):
        keys |= {f"{name}.norm{i}.body.{kind}": (c,) for kind in ("weight", "bias")}
    keys |= conv(f"{name}.attn.q.0", c, c, 1, bias=False) | conv(f"{name}.attn.q.1", c, 1, 3, bias=False)
    keys |= {f"{name}.attn.kv.weight": (2 * c, prior_channels), f"{name}.attn.kv.bias": (2 * c,)}
    keys |= conv(f"{name}.attn.project_out", c, c, 1, bias=False)
    keys |= conv(f"{name}.ffn.fc1", hidden, c, 1, bias=False) | conv(f"{name}.ffn.dwconv", hidden, 1, 3)
    keys |= conv(f"{name}.ffn.fc2", c, hidden, 1, bias=False)
    rule = f"{name}.principle"
    keys |= conv(f"{rule}.mlp_img", c, c, 1) | conv(f"{rule}.mlp_degra", c, c, 1)
    keys |= _chain(f"{rule}.convolve.convolve", 2 * c, c) | conv(f"{rule}.convolve.convolve.3.0", 25 * c, c, 1)
    keys |= {f"{rule}.convolve.convolve.3.1.weight": (1,)}
    keys |= _chain(f"{rule}.addition.add", 2 * c, c) | _chain(f"{rule}.point.weight", 2 * c, 2 * c)
    keys |= conv(f"{rule}.pred.1", c, c, 1) | conv(f"{rule}.pred.2", 5, c, 1)
    keys |= conv(f"{name}.SAM.conv1", c, c, 1, bias=False) | conv(f"{name}.SAM.conv2", 3, c, 1, bias=False)
    return keys | conv(f"{name}.SAM.conv3", c, 3, 1, bias=False)


def idr(channels=32, blocks=(2, 3, 3, 4), heads=(1, 2, 4, 8), refinement=2, *, priors=24):
    keys = restormer(channels, blocks, heads, refinement) | {"degra_key": (5, priors, 8 * channels)}
    keys |= conv("dmixer.convU", priors, 5 * priors, 1) | conv("dmixer.convV", priors, 5 * priors, 1)
    for k in range(POSITIONS):
        keys |= meta_prior(f"kdp_level{k + 1}", 2**k * channels, heads[k], 8 * channels)
    return keys
