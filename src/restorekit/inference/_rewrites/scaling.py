"""Products that are added to something: one pass over memory."""

import operator

import torch
from torch import fx

from restorekit.inference._rewrites.graph import called, is_addition, only_user, replace, shape_at, source

_MUL = {operator.mul, torch.mul, "mul"}


def add_products(graph: fx.GraphModule) -> None:
    """Make ``a * b + c`` of features, such as those that channel attention scales, one operation."""
    nodes: list[fx.Node] = list(graph.graph.nodes)
    for node in nodes:
        for place in (0, 1) if is_addition(node) and len(node.args) == 2 and not node.kwargs else ():
            product, other = source(node, place), source(node, 1 - place)
            if product is None or other is None or only_user(product) is not node or not _multiplies(product):
                continue
            if shape_at(product) != shape_at(other) or not shape_at(other):
                continue
            with graph.graph.inserting_before(node):
                total = graph.graph.call_function(torch.addcmul, (other, *product.args))
            total.meta.update(node.meta)
            replace(node, total)
            graph.graph.erase_node(product)
            break


def _multiplies(node: fx.Node) -> bool:
    """Whether a node is the product of two tensors."""
    return called(node, _MUL) and len(node.args) == 2 and all(shape_at(source(node, place)) for place in (0, 1))
