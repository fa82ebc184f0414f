"""Features in a narrow type, pictures in their own: where the one ends and the other begins."""

import copy
from typing import Any

import torch
from torch import fx, nn

from restorekit.inference._rewrites.convolution import FusedConv2d
from restorekit.inference._rewrites.graph import module_at, shape_at


def note_pictures(graph: fx.GraphModule) -> None:
    """Mark what is made of the input without any layer that has weights: it is still a picture, not features."""
    for node in graph.graph.nodes:
        inputs = node.all_input_nodes
        node.meta["picture"] = node.op == "placeholder" or (
            bool(inputs) and not _has_weights(graph, node) and all(i.op == "get_attr" or is_picture(i) for i in inputs)
        )


def is_picture(node: fx.Node) -> bool:
    """Whether a node was marked by ``note_pictures``."""
    return bool(node.meta.get("picture"))


def narrow(graph: fx.GraphModule, dtype: torch.dtype, picture_dtype: torch.dtype) -> None:
    """Compute features in ``dtype``. The input and what is done to the output behind the last layer stay as they are.

    So a mean colour or the picture itself is added to the result with all of its digits.
    """
    wide = {node for node in graph.graph.nodes if is_picture(node) or node.op == "get_attr"} | _behind_layers(graph)
    _convert_layers(graph, dtype)
    casts: dict[tuple[fx.Node, torch.dtype], fx.Node] = {}
    for node in list(graph.graph.nodes):
        if node.op in {"placeholder", "get_attr"}:
            continue
        wanted = picture_dtype if node in wide or node.op == "output" else dtype
        for source in node.all_input_nodes:
            present = picture_dtype if source in wide else dtype
            if not shape_at(source) or present == wanted:
                continue
            if (source, wanted) not in casts:
                with graph.graph.inserting_after(source):
                    casts[source, wanted] = graph.graph.call_method("to", (source, wanted))
                casts[source, wanted].meta.update(source.meta)
            node.replace_input_with(source, casts[source, wanted])


def _has_weights(graph: fx.GraphModule, node: fx.Node) -> bool:
    module = module_at(graph, node)
    return module is not None and next(module.parameters(), None) is not None


def _behind_layers(graph: fx.GraphModule) -> set[fx.Node]:
    """The nodes between the last layers that have weights and the output."""
    (output,) = (node for node in graph.graph.nodes if node.op == "output")
    found: set[fx.Node] = set()
    waiting: list[fx.Node] = list(output.all_input_nodes)
    while waiting:
        node = waiting.pop()
        if node not in found and node.op != "placeholder" and not _has_weights(graph, node):
            found.add(node)
            waiting += node.all_input_nodes
    return found


def _convert_layers(graph: fx.GraphModule, dtype: torch.dtype) -> None:
    known: dict[int, Any] = {}  # kernels that several layers share stay shared
    for node in list(graph.graph.nodes):
        module = module_at(graph, node)
        if isinstance(module, FusedConv2d):
            for name, weight in list(module.named_parameters()):
                narrowed = known.setdefault(id(weight), nn.Parameter(weight.to(dtype), requires_grad=False))
                setattr(module, name, narrowed)
                known[id(narrowed)] = narrowed
        elif module is not None and _has_weights(graph, node):
            graph.set_submodule(str(node.target), copy.deepcopy(module).to(dtype))
