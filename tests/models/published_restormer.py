"""Restormer's files, and IDR's on top of it, as their authors store them: key names and shapes."""

import torch
import torch.nn.functional as F
from einops import rearrange
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


# What the published networks compute, written out on their own tensors: sides are multiples of 8.


def _norm(w, name, x):
    centered = x - x.mean(dim=1, keepdim=True)
    deviation = (centered.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
    weight = w[f"{name}.body.weight"].view(-1, 1, 1)
    if f"{name}.body.bias" not in w:
        return x / deviation * weight
    return centered / deviation * weight + w[f"{name}.body.bias"].view(-1, 1, 1)


def _depthwise(w, name, x):
    return F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), padding=1, groups=x.shape[1])


def _pointwise(w, name, x):
    return F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"))


def _plain_block(w, name, x):
    heads = len(w[f"{name}.attn.temperature"])
    qkv = _depthwise(w, f"{name}.attn.qkv_dwconv", _pointwise(w, f"{name}.attn.qkv", _norm(w, f"{name}.norm1", x)))
    q, k, v = rearrange(qkv, "n (three h c) y x -> three n h c (y x)", three=3, h=heads)
    q, k = (rows / rows.square().sum(dim=-1, keepdim=True).sqrt() for rows in (q, k))
    weights = (torch.einsum("nhap,nhbp->nhab", q, k) * w[f"{name}.attn.temperature"]).softmax(dim=-1)
    mixed = rearrange(weights @ v, "n h c (y x) -> n (h c) y x", y=x.shape[2])
    x = x + _pointwise(w, f"{name}.attn.project_out", mixed)
    inner = _depthwise(w, f"{name}.ffn.dwconv", _pointwise(w, f"{name}.ffn.project_in", _norm(w, f"{name}.norm2", x)))
    gate, value = inner.chunk(2, dim=1)
    return x + _pointwise(w, f"{name}.ffn.project_out", F.gelu(gate) * value)


def _plain_chain(w, name, x):
    k = 0
    while f"{name}.{k}.attn.temperature" in w:
        x, k = _plain_block(w, f"{name}.{k}", x), k + 1
    return x


def plain_restormer(w, picture, behind_level=lambda k, x: x):
    """``behind_level`` changes the features behind encoder level 1, 2 or 3."""
    skips, x = [], F.conv2d(picture, w["patch_embed.proj.weight"], padding=1)
    for k in (1, 2, 3):
        skips.append(behind_level(k, _plain_chain(w, f"encoder_level{k}", x)))
        x = F.pixel_unshuffle(F.conv2d(skips[-1], w[f"down{k}_{k + 1}.body.0.weight"], padding=1), 2)
    x = _plain_chain(w, "latent", x)
    for k in (3, 2, 1):
        x = F.pixel_shuffle(F.conv2d(x, w[f"up{k + 1}_{k}.body.0.weight"], padding=1), 2)
        x = torch.cat([x, skips[k - 1]], dim=1)
        x = _plain_chain(w, f"decoder_level{k}", x if k == 1 else _pointwise(w, f"reduce_chan_level{k}", x))
    return F.conv2d(_plain_chain(w, "refinement", x), w["output.weight"], padding=1) + picture


def _plain_evidence(w, name, x):
    x = F.prelu(F.conv2d(x, w[f"{name}.0.0.weight"], w[f"{name}.0.0.bias"], padding=1), w[f"{name}.0.1.weight"])
    for k in (1, 2):
        inner = F.conv2d(x, w[f"{name}.{k}.conv1.weight"], w[f"{name}.{k}.conv1.bias"], padding=1).relu()
        x = x + F.conv2d(inner, w[f"{name}.{k}.conv2.weight"], w[f"{name}.{k}.conv2.bias"], padding=1)
    return x


def _plain_prior_attention(w, name, x, priors):
    heads, channels = len(w[f"{name}.temperature"]), x.shape[1]
    rows = F.layer_norm(priors, priors.shape[-1:]) @ w[f"{name}.kv.weight"].T + w[f"{name}.kv.bias"]
    k, v = rearrange(rows, "n r (two h c) -> two n h r c", two=2, h=heads)
    q = rearrange(_depthwise(w, f"{name}.q.1", _pointwise(w, f"{name}.q.0", x)), "n (h c) y x -> n h (y x) c", h=heads)
    mixed = (q @ k.mT / channels**0.5).softmax(dim=-1) @ v
    return _pointwise(w, f"{name}.project_out", rearrange(mixed, "n h (y x) c -> n (h c) y x", y=x.shape[2]))


def _plain_module(w, name, x, picture, mix):
    """Stage 2: all routes run, the additive one first and in place."""
    rule = f"{name}.principle"
    scores = _pointwise(w, f"{rule}.pred.2", _pointwise(w, f"{rule}.pred.1", x.mean(dim=(2, 3), keepdim=True)))
    p = scores.softmax(dim=1)
    small = F.interpolate(picture, size=x.shape[2:], mode="bilinear")
    gate = _pointwise(w, f"{name}.SAM.conv3", _pointwise(w, f"{name}.SAM.conv2", x) + small).sigmoid()
    degraded = x + _pointwise(w, f"{name}.SAM.conv1", x) * gate
    found = _plain_prior_attention(w, f"{name}.attn", _norm(w, f"{name}.norm1", degraded), mix(p.flatten(1)))
    a, b = _pointwise(w, f"{rule}.mlp_img", x), _pointwise(w, f"{rule}.mlp_degra", found)
    guide = rearrange([a, b], "two n c y x -> n (c two) y x")
    added = a + _plain_evidence(w, f"{rule}.addition.add", guide)
    gamma, beta = _plain_evidence(w, f"{rule}.point.weight", guide).chunk(2, dim=1)
    last = f"{rule}.convolve.convolve.3"
    kernels = _pointwise(w, f"{last}.0", _plain_evidence(w, f"{rule}.convolve.convolve", guide))
    kernels = rearrange(F.prelu(kernels, w[f"{last}.1.weight"]), "n (c k) y x -> n c k (y x)", k=25)
    windows = F.unfold(F.pad(added, (2, 2, 2, 2), mode="replicate"), 5)
    filtered = (kernels * rearrange(windows, "n (c k) p -> n c k p", k=25)).sum(dim=2).view_as(x)
    r = (p[:, [2]] + p[:, [4]]) * (gamma * added + beta) + (p[:, [0]] + p[:, [1]]) * added + p[:, [3]] * filtered
    hidden = _depthwise(w, f"{name}.ffn.dwconv", _pointwise(w, f"{name}.ffn.fc1", _norm(w, f"{name}.norm2", r)))
    return r + _pointwise(w, f"{name}.ffn.fc2", F.gelu(hidden))


def plain_idr(w, picture):
    """Stage 2, with the signs of the singular vectors as they come."""
    left, values, right = torch.linalg.svd(w["degra_key"], full_matrices=False)
    u = torch.einsum("kr,ri->ik", w["dmixer.convU.weight"].flatten(1), left.mT.flatten(0, 1)) + w["dmixer.convU.bias"]
    v = w["dmixer.convV.weight"].flatten(1) @ right.flatten(0, 1) + w["dmixer.convV.bias"][:, None]

    def mix(p):
        return torch.stack([u @ torch.diag(strengths) @ v for strengths in p @ values])

    return plain_restormer(w, picture, lambda k, x: _plain_module(w, f"kdp_level{k}", x, picture, mix))
