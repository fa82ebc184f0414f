"""NSR's published checkpoints: how to recognise them and how to rename their tensors."""

from restorekit.models._layouts.layout import Layout, Reading, StateDict, count, has, rename

# torch's names for length and direction of a kernel under weight norm, old and new.
_NORMED = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


def _read(state: StateDict) -> Reading:
    blocks = count(state, r"body\.(\d+)\.body\.") - 1  # the first convolution has number 0
    names = {"body.0": "entry", f"body.{blocks + 1}": "exit"}
    for i in range(blocks):
        names |= {f"body.{i + 1}.body.0": f"body.{i}.conv1", f"body.{i + 1}.body.2": f"body.{i}.conv2"}
    channels, in_channels = state["body.0.weight_v"].shape[:2]
    config = {"channels": channels, "blocks": blocks, "in_channels": in_channels, "weight_norm": True}
    config["scale"] = round((state[f"body.{blocks + 1}.bias"].shape[0] / in_channels) ** 0.5)
    config["width"] = state["body.1.body.2.weight_v"].shape[1] // channels
    if config["scale"] > 1:
        names["skip.0"] = "skip"
    tensors = {f"{new}.bias": state[f"{old}.bias"] for old, new in names.items()}
    for theirs, ours in _NORMED.items():
        tensors |= {f"{new}.{ours}": state[f"{old}.{theirs}"] for old, new in names.items()}
    options, gates = _read_gates(state, names)
    return {**config, **options}, tensors | gates


def _read_gates(state: StateDict, names: dict[str, str]) -> Reading:
    """The linear layers behind the convolutions of the blocks: none in the dense network."""
    depth = (count(state, r"body\.1\.body\.0\.mlp\.(\d+)\.") + 1) // 2  # ReLUs are numbered too
    if depth == 0:
        return {"num_sparsity_groups": None}, {}
    gates = {old: new for old, new in names.items() if ".body." in old}
    layers = {f"{old}.mlp.{2 * i}": f"{new}.mlp.{2 * i}" for old, new in gates.items() for i in range(depth)}
    groups = state["body.1.body.2.bias"].shape[0] // state["body.0.bias"].shape[0]
    cardinality = state[f"body.1.body.0.mlp.{2 * depth - 2}.bias"].shape[0] // groups
    return {"num_sparsity_groups": groups, "cardinality": cardinality, "mlp_depth": depth}, rename(state, layers)


SPARSE_RESNET_LAYOUTS = (
    Layout(
        "SparseResNet (NSR)",
        has("body.0.weight_v", "body.1.body.0.weight_v", "body.1.body.2.weight_v"),
        _read,
    ),
)
