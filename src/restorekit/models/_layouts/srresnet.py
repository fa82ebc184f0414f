"""The published checkpoints of SRResNet without batch normalisation: BasicSR's and KAIR's."""

from functools import partial

from restorekit.models._layouts.layout import UNSAID, Layout, Reading, StateDict, count, has, rename, shuffle_factor


def _read_basicsr(state: StateDict, body: str, last: str) -> Reading:
    blocks, stages = count(state, rf"{body}\.(\d+)\.conv1\."), count(state, r"upconv(\d+)\.") - 1  # upconv1, upconv2
    channels, in_channels = state["conv_first.weight"].shape[0], state["conv_last.weight"].shape[0]
    names = {"conv_first": "entry", last: "last", "conv_last": "exit"}
    names |= {f"{body}.{i}.{conv}": f"body.{i}.{conv}" for i in range(blocks) for conv in ("conv1", "conv2")}
    names |= {f"upconv{stage + 1}": f"upsampler.{stage}.0" for stage in range(stages)}
    scale = 1
    for stage in range(stages):
        scale *= shuffle_factor(state[f"upconv{stage + 1}.weight"], channels)
    options = {"slope": 0.1, "long_skip": False, "upsampler": "pixelshuffle", "exit_bias": True, "image_skip": True}
    sizes = {"scale": scale, "channels": channels, "blocks": blocks, "in_channels": in_channels}
    return {**sizes, **options}, rename(state, names)


def _read_kair(state: StateDict) -> Reading:
    """MSRResNet0 numbers its layers, activations and shuffles among them: 3 to a stage, then two convolutions."""
    exit = count(state, r"model\.(\d+)\.") - 1
    stages, rest = divmod(exit - 4, 3)
    if stages < 0 or rest:
        raise ValueError(f"its last layer is number {exit}; one stage makes it 7, two 10, three 13")
    shuffled = "model.2.weight" in state  # where a nearest-neighbour stage has its enlargement
    blocks = count(state, r"model\.1\.sub\.(\d+)\.res\.")
    channels, in_channels = state["model.0.weight"].shape[:2]
    names = {"model.0": "entry", f"model.1.sub.{blocks}": f"body.{blocks}", f"model.{exit - 2}": "last"}
    convs = {"0": "conv1", "2": "conv2"}
    names |= {f"model.1.sub.{i}.res.{old}": f"body.{i}.{new}" for i in range(blocks) for old, new in convs.items()}
    for stage in range(stages):
        names[f"model.{3 * stage + (2 if shuffled else 3)}"] = f"upsampler.{stage}.{0 if shuffled else 1}"
    tensors = rename(state, names) | rename(state, {f"model.{exit}": "exit"}, ["weight"])
    scale: object = 2**stages
    if stages == 1:  # one stage may enlarge by 2 or by 3
        scale = shuffle_factor(state["model.2.weight"], channels) if shuffled else UNSAID
    sizes = {"scale": scale, "channels": channels, "blocks": blocks, "in_channels": in_channels}
    options = {"slope": 0.0, "long_skip": True, "exit_bias": False, "image_skip": False}
    return {**sizes, **options, "upsampler": "pixelshuffle" if shuffled else "nearest"}, tensors


MSRRESNET_LAYOUTS = (
    Layout(
        "MSRResNet (BasicSR)",
        has("conv_first.weight", "body.0.conv1.weight", "conv_hr.weight"),
        partial(_read_basicsr, body="body", last="conv_hr"),
    ),
    Layout(
        "MSRResNet1 (KAIR)",
        has("conv_first.weight", "recon_trunk.0.conv1.weight", "HRconv.weight"),
        partial(_read_basicsr, body="recon_trunk", last="HRconv"),
    ),
    Layout("MSRResNet0 (KAIR)", has("model.0.weight", "model.1.sub.0.res.0.weight"), _read_kair),
)
