"""Put shared or sparse convolutions in the place of the ordinary ones of any network."""

import copy
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from restorekit._check import check_integer
from restorekit.layers._skeleton import skeleton
from restorekit.layers.sparse import SparseGroupConv2d
from restorekit.layers.template import SConv2d, TemplateBank

Where = Callable[[str, nn.Conv2d], bool]
BANKS = "template_banks"


@dataclass(frozen=True)
class ConversionReport:
    """What a conversion changed.

    Args:
        replaced: Convolutions that were replaced; one that is used several times counts once.
        parameters_before: Parameters of the network that was given, a shared one once.
        parameters_after: Parameters of the converted network.
        multadds_before: Multiply-adds of its convolutions and matrix products for one input, or None if no
            ``input_size`` was given.
        multadds_after: The same of the converted network, with the mixing of kernels and the gates.
        kernel_error: Norm of the change of all replaced kernels over the norm of the kernels: 0 if the function stays.

    Example:
        >>> ConversionReport(1, 148, 84, None, None, kernel_error=0.1).parameters_after
        84
    """

    replaced: int
    parameters_before: int
    parameters_after: int
    multadds_before: int | None
    multadds_after: int | None
    kernel_error: float


def share_parameters(
    model: nn.Module, num_templates: int, *, where: Where | None = None, input_size: Sequence[int] | None = None
) -> tuple[nn.Module, ConversionReport]:
    """Let convolutions of a network mix their kernels from common templates: fewer parameters, much the same function.

    Kernels of one shape, dtype and device get one bank. Its templates and coefficients are the best approximation of
    these kernels that ``num_templates`` can make, which is exact up to rounding if there are no more kernels than
    templates. Otherwise kernels change, by ``kernel_error``: train the network again.

    Args:
        model: Network. It stays as it is.
        num_templates: Templates K of each bank. Above the number of kernels the rest is drawn at random, for training.
        where: Given name and layer, whether to convert it. If None, those whose kernel shape more than
            ``num_templates`` kernels have, so that something is saved. Only ``nn.Conv2d`` itself is asked about, not
            its subclasses, and no layer whose weight is computed.
        input_size: Shape of an input to count multiply-adds for, such as (1, 3, 180, 320), in a dry run.

    Returns:
        A converted copy with ``SConv2d`` layers, which holds its banks in ``template_banks`` (or, if it is itself an
        ``nn.Sequential``, in its first converted layer), and what has changed. Layers that share a kernel go on
        sharing. To load a state dict of the copy, convert a network of the same kind the same way.

    Raises:
        TypeError: ``model`` is no module, or ``where`` no function.
        ValueError: Nothing to convert, a layer with hooks, or one that shares its kernel or bias with a layer that is
            not converted.

    Example:
        >>> network = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1) for _ in range(5)))
        >>> shared, report = share_parameters(network, 2)
        >>> report.replaced, report.parameters_before, report.parameters_after
        (5, 2920, 1202)

    Source:
        Savarese and Maire, ICLR 2019 (arXiv:1902.09701), who train from scratch. The start from given kernels is ours:
        by Eckart and Young, templates are right singular vectors of the kernels, one a row, scaled to their root mean
        square norm.
    """
    check_integer(num_templates, "num_templates", 1)
    names = _chosen(model, where if where is not None else _shape_of_more_than(num_templates, model))
    converted = copy.deepcopy(model)
    layers = [_convolution(converted, name) for name in names]
    replacements: dict[nn.Module, nn.Module] = {}
    banks, change, size = [], 0.0, 0.0
    for group in _alike(layers):
        bank, coefficients, missed, norm = _fit([layer.weight for layer in group], num_templates)
        banks.append(bank)
        change, size = change + missed, size + norm
        replacements |= {layer: _shared(layer, bank, one) for layer, one in zip(group, coefficients, strict=True)}
    _replace(converted, replacements)
    _hold(converted, banks, replacements[layers[0]])
    return converted, _report(model, converted, len(layers), math.sqrt(change / size) if size else 0.0, input_size)


def sparsify(
    model: nn.Module,
    num_sparsity_groups: int,
    *,
    cardinality: int = 1,
    temperature: float = 1.0,
    pool_size: int | None = None,
    mlp_depth: int = 1,
    where: Where | None = None,
    input_size: Sequence[int] | None = None,
) -> tuple[nn.Module, ConversionReport]:
    """Give convolutions of a network several kernels that each picture mixes for itself: more capacity, same function.

    Every candidate is a copy of the kernel, and what gates weigh adds up to 1: the converted network computes what the
    network computed, up to rounding. As long as the candidates are the same the gates have no gradient; the candidates
    move apart because gates weigh their gradients differently, less under optimizers such as Adam that even sizes out.
    Add noise to the weights if that is too slow.

    Gates read all of the picture, or their window of it: the converted network has no receptive radius, and tiles give
    another result than the whole.

    Args:
        model: Network. It stays as it is.
        num_sparsity_groups: Candidates k for each kernel.
        cardinality: See ``SparseGroupConv2d``, as for the other options of the gates; they are drawn at random.
        temperature: See ``SparseGroupConv2d``.
        pool_size: See ``SparseGroupConv2d``.
        mlp_depth: See ``SparseGroupConv2d``.
        where: Given name and layer, whether to convert it; all if None. Only ``nn.Conv2d`` itself is asked about, not
            its subclasses, and no layer whose weight is computed.
        input_size: Shape of an input to count multiply-adds for, such as (1, 3, 180, 320), in a dry run.

    Returns:
        A converted copy with ``SparseGroupConv2d`` layers, and what has changed. Layers that share a kernel go on
        sharing.

    Raises:
        TypeError: ``model`` is no module, or ``where`` no function.
        ValueError: Nothing to convert, an option that a layer's size does not allow, a layer with hooks, or one that
            shares its kernel or bias with a layer that is not converted.

    Example:
        >>> network, x = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 3)), torch.rand(1, 3, 9, 9)
        >>> sparse, report = sparsify(network, 4)
        >>> torch.allclose(sparse(x), network(x), atol=1e-5), report.replaced
        (True, 2)

    Source:
        Fan et al., NeurIPS 2020 (Neural Sparse Representation), who train from scratch.
    """
    check_integer(num_sparsity_groups, "num_sparsity_groups", 1)
    names = _chosen(model, where if where is not None else lambda _name, _layer: True)
    converted = copy.deepcopy(model)
    replacements: dict[nn.Module, nn.Module] = {}
    banks: dict[int, nn.Parameter] = {}
    for name in names:
        layer = _convolution(converted, name)
        try:
            sparse = SparseGroupConv2d(
                layer.in_channels,
                layer.out_channels,
                num_sparsity_groups=num_sparsity_groups,
                cardinality=cardinality,
                temperature=temperature,
                pool_size=pool_size,
                mlp_depth=mlp_depth,
                kernel_size=layer.kernel_size,
                **_options(layer),
            )
        except ValueError as error:
            raise ValueError(f"convolution {name!r}: {error}; where= can leave it out") from error
        sparse.to(layer.weight.device, layer.weight.dtype).train(layer.training)
        for kind in ("weight", "bias"):
            if (old := getattr(layer, kind)) is not None:
                rows = old.detach().repeat(num_sparsity_groups, *[1] * (old.ndim - 1))
                setattr(sparse, kind, banks.setdefault(id(old), nn.Parameter(rows, old.requires_grad)))
        replacements[layer] = sparse
    _replace(converted, replacements)
    return converted, _report(model, converted, len(names), 0.0, input_size)


def _is_convolution(layer: nn.Module) -> bool:
    return type(layer) is nn.Conv2d and isinstance(layer._parameters.get("weight"), nn.Parameter)


def _convolution(model: nn.Module, name: str) -> nn.Conv2d:
    layer = model.get_submodule(name)
    assert isinstance(layer, nn.Conv2d)
    return layer


def _chosen(model: nn.Module, where: Where) -> list[str]:
    """Names of the convolutions to convert, each once."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be an nn.Module, got {type(model).__name__}")
    if not callable(where):
        raise TypeError(f"where must be a function of name and layer, got {where!r}")
    inside = [name for name, layer in model.named_modules() if name and _is_convolution(layer)]
    names = [name for name in inside if where(name, _convolution(model, name))]
    if not names:
        raise ValueError(f"nothing to convert: {len(inside)} nn.Conv2d inside of {type(model).__name__}, none chosen")
    layers = {_convolution(model, name): name for name in names}
    for layer, name in layers.items():
        if layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks or layer._backward_pre_hooks:
            raise ValueError(f"convolution {name!r} has hooks, which would be lost: register them afterwards")
    taken = {id(parameter) for layer in layers for parameter in layer.parameters()}
    for name, module in model.named_modules():
        if module not in layers and any(id(p) in taken for p in module._parameters.values()):
            raise ValueError(f"layer {name!r} shares a parameter with one to convert: choose both or none")
    return names


def _shape_of_more_than(count: int, model: nn.Module) -> Where:
    """Choose convolutions whose kernel shape more than ``count`` different kernels have."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    kernels = {layer.weight for layer in modules if isinstance(layer, nn.Conv2d) and _is_convolution(layer)}
    shapes = Counter(kernel.shape for kernel in kernels)
    return lambda _name, layer: shapes[layer.weight.shape] > count


def _alike(layers: Sequence[nn.Conv2d]) -> list[list[nn.Conv2d]]:
    """Groups that can have one bank. Frozen kernels are apart: training the others must not change them."""
    groups: dict[object, list[nn.Conv2d]] = {}
    for layer in layers:
        kernel = layer.weight
        groups.setdefault((kernel.shape, kernel.dtype, kernel.device, kernel.requires_grad), []).append(layer)
    return list(groups.values())


def _fit(kernels: Sequence[Tensor], count: int) -> tuple[TemplateBank, list[nn.Parameter], float, float]:
    """A bank for kernels, the coefficients of each, and the squared norms of the error and of the kernels."""
    first, different = kernels[0], list(dict.fromkeys(kernels))
    rows = torch.stack([kernel.detach().flatten() for kernel in different]).cpu().double()
    directions = torch.linalg.svd(rows, full_matrices=False).Vh[:count]
    spread = rows.square().sum(1).mean().sqrt()  # templates as large as a kernel, coefficients about 1
    spread = spread if spread > 0 else torch.ones_like(spread)
    out_channels, in_channels, height, width = first.shape
    bank = TemplateBank(count, in_channels, out_channels, (height, width)).to(first.device, first.dtype)
    coefficients = rows.new_zeros(len(rows), count)
    coefficients[:, : len(directions)] = rows @ directions.T / spread
    with torch.no_grad():
        bank.templates[: len(directions)] = (spread * directions).view(-1, *first.shape).to(first)
    bank.requires_grad_(first.requires_grad)
    mixed = coefficients @ bank.templates.detach().flatten(1).cpu().double()
    owned = {
        kernel: nn.Parameter(row.to(first), first.requires_grad)
        for kernel, row in zip(different, coefficients, strict=True)
    }
    return bank, [owned[kernel] for kernel in kernels], _energy(rows - mixed), _energy(rows)


def _energy(rows: Tensor) -> float:
    return rows.square().sum().item()


def _shared(layer: nn.Conv2d, bank: TemplateBank, coefficients: nn.Parameter) -> SConv2d:
    shared = SConv2d(bank, **_options(layer)).train(layer.training)
    for name, parameter in (("coefficients", coefficients), ("bias", layer.bias)):
        setattr(shared, name, parameter)
    return shared


def _options(layer: nn.Conv2d) -> dict[str, Any]:
    plain = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups", "padding_mode")}
    return {**plain, "bias": layer.bias is not None}


def _replace(model: nn.Module, replacements: dict[nn.Module, nn.Module]) -> None:
    """Put each replacement everywhere where its layer was."""
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child in replacements:
                parent._modules[name] = replacements[child]


def _hold(model: nn.Module, banks: Sequence[TemplateBank], first: nn.Module) -> None:
    """Make the banks submodules: of a layer where the network would run them as one of its steps."""
    holder = first if isinstance(model, nn.Sequential) else model
    held = getattr(holder, BANKS, None)
    if held is None:
        holder.add_module(BANKS, nn.ModuleList(banks))
    else:
        held.extend(banks)


def _report(
    before: nn.Module, after: nn.Module, replaced: int, error: float, input_size: Sequence[int] | None
) -> ConversionReport:
    parameters = [sum(p.numel() for p in model.parameters()) for model in (before, after)]
    multadds = [None if input_size is None else _multadds(model, input_size) for model in (before, after)]
    return ConversionReport(replaced, parameters[0], parameters[1], multadds[0], multadds[1], error)


def _multadds(model: nn.Module, input_size: Sequence[int]) -> int:
    dtype = next(model.parameters()).dtype
    with torch.inference_mode(False), torch.no_grad(), FlopCounterMode(display=False) as counter:
        skeleton(model)(torch.empty(*input_size, dtype=dtype, device="meta"))
    return int(counter.get_total_flops()) // 2
