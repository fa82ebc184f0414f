"""SConv2d and SparseGroupConv2d against nn.Conv2d of the same shape and against what their papers print.

64 channels, kernels of 3 x 3, 16 templates, 4 sparsity groups. Goals, as ratios to nn.Conv2d in the same
memory format: SConv2d 1.05 in evaluation and 1.15 in training; SparseGroupConv2d 1.25 forward and 1.4 forward and
backward at batch 16, and never slower than the printed code.
"""

import copy
from collections.abc import Callable
from itertools import product

import torch
import torch.nn.functional as F
from harness import Measurement, Options, compare, main, record
from processes import fresh, peak
from torch import Tensor, nn

from restorekit.layers import SConv2d, SparseGroupConv2d, TemplateBank

CHANNELS, TEMPLATES, GROUPS, CARDINALITY = 64, 16, 4, 1
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
FAMILIES = {  # ours, in evaluation as well, and what the paper prints
    "SConv2d": ("restorekit SConv2d", "restorekit SConv2d, fused", "plain sum over templates"),
    "SparseGroupConv2d": ("restorekit SparseGroupConv2d", "printed sparse groups"),
}
MODES = ("forward", "forward and backward", "evaluation")


class PlainSum(nn.Module):
    """Template sharing as released: templates times coefficients, summed at every call."""

    def __init__(self, bank: TemplateBank, layer: SConv2d) -> None:
        super().__init__()
        self.templates = nn.Parameter(bank.templates.detach().clone())
        self.coefficients = nn.Parameter(layer.coefficients.detach().clone().view(-1, 1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, torch.sum(self.templates * self.coefficients, 0), padding=1)


class Printed(nn.Module):
    """Sparse groups as in the supplement: the pictures of a batch side by side as groups of one convolution."""

    def __init__(self, layer: SparseGroupConv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.bias = nn.Parameter(layer.bias.detach().clone())
        self.mlp = copy.deepcopy(layer.mlp)

    def forward(self, x: Tensor) -> Tensor:
        sparsity = self.mlp(x.mean([-1, -2])).view(-1, GROUPS, CARDINALITY).softmax(dim=1)
        weight = self.weight.view(GROUPS, CARDINALITY, -1, *self.weight.shape[1:])
        weight = torch.einsum("abc,bcdefg->acdefg", (sparsity, weight))
        bias = torch.einsum("abc,bcd->acd", (sparsity, self.bias.view(GROUPS, CARDINALITY, -1)))
        weight, bias = weight.reshape(-1, *weight.shape[3:]), bias.reshape(-1)
        out = F.conv2d(x.view(1, -1, *x.shape[2:]), weight, bias, padding=1, groups=len(x))
        return out.view(len(x), -1, *out.shape[2:])


def layers(layout: torch.memory_format, batch: int) -> dict[str, nn.Module]:
    """All ways, those that should agree checked against each other."""
    torch.manual_seed(0)
    bank = TemplateBank(TEMPLATES, CHANNELS, CHANNELS, 3)
    shared = SConv2d(bank, padding=1)
    shared.add_module("held", bank)
    sparse = SparseGroupConv2d(CHANNELS, CHANNELS, 3, padding=1, num_sparsity_groups=GROUPS, cardinality=CARDINALITY)
    ways: dict[str, nn.Module] = {
        "nn.Conv2d": nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        "restorekit SConv2d": shared,
        "restorekit SConv2d, fused": shared.fuse(),
        "plain sum over templates": PlainSum(bank, shared),
        "restorekit SparseGroupConv2d": sparse,
        "printed sparse groups": Printed(sparse),
    }
    if layout is torch.channels_last and batch > 1:
        del ways["printed sparse groups"]  # it cannot: torch refuses its view
    for name, *_, other in FAMILIES.values():
        x = torch.rand(min(batch, 2), CHANNELS, 9, 8)
        if other in ways and not torch.allclose(ways[name](x), ways[other](x), atol=1e-5):
            raise SystemExit(f"{name} and {other} differ")
    for layer in ways.values():
        if not isinstance(layer, PlainSum):  # torch refuses to lay its five dimensions out like this
            layer.to(memory_format=layout)
    return ways


def call(layer: nn.Module, x: Tensor, mode: str) -> Callable[[], object]:
    """One step in a mode; gradients reach the input and all parameters."""
    layer.train(mode != "evaluation")
    if mode == "forward and backward":
        x = x.detach().requires_grad_()
        inputs = [x, *layer.parameters()]
        return lambda: torch.autograd.grad(layer(x).sum(), inputs)

    def forward() -> Tensor:
        with torch.no_grad():
            return layer(x)

    return forward


def pictures(size: tuple[int, int], batch: int, layout: torch.memory_format) -> Tensor:
    """Features in a memory format."""
    return torch.rand(batch, CHANNELS, *size).contiguous(memory_format=layout)


def times(size: tuple[int, int], batch: int, layout: str, options: Options) -> list[Measurement]:
    """A row for each mode, with a table for each of the two."""
    x = pictures(size, batch, LAYOUTS[layout])
    ways, found = layers(LAYOUTS[layout], batch), []
    for mode, (family, names) in product(MODES, FAMILIES.items()):
        calls = {
            name: call(copy.deepcopy(ways[name]), x, mode)
            for name in ("nn.Conv2d", *names)
            if name in ways and (mode == "evaluation" or not name.endswith("fused"))
        }
        title = f"{mode}, {size[0]} x {size[1]}, batch {batch}, {layout}"
        repeats = 3 if options.quick else 15
        found.append(compare(title, calls, repeats=repeats, table=family, aside=["nn.Conv2d"], limit=3))
    return found


def growth_in_memory(name: str, mode: str, size: tuple[int, int], batch: int, layout: str) -> float:
    """By how much two steps raise the peak of this process, in MB."""
    with torch.enable_grad():
        small = call(layers(LAYOUTS[layout], batch)[name], pictures((8, 8), batch, LAYOUTS[layout]), mode)
        small()  # what libraries allocate once
        x = pictures(size, batch, LAYOUTS[layout])
        step, before = call(layers(LAYOUTS[layout], batch)[name], x, mode), peak()
        step()
        step()
    return peak() - before


def memory(size: tuple[int, int], batch: int, layout: str, options: Options) -> list[Measurement]:
    """Peak memory of each way beside its input, each in a process of its own."""
    known, found = layers(LAYOUTS[layout], batch), []
    for mode, (family, names) in product(MODES[1:2], FAMILIES.items()):
        peaks = {}
        for name in ("nn.Conv2d", *(names[:1] if options.quick else names)):
            if name not in known or (name.endswith("fused") and mode != "evaluation"):
                continue
            risen = fresh(growth_in_memory, name, mode, size, batch, layout, threads=options.threads)
            if risen is None:
                options.say(f"{name}, {mode}: ended without a result; out of memory?")
            else:
                peaks[name] = max(risen, 0.0)
        title, table = f"{mode}, {size[0]} x {size[1]}, batch {batch}, {layout}", f"{family}, memory"
        found.append(record(title, peaks, table=table, unit="MB", aside=["nn.Conv2d"]))
    return found


def measure(options: Options) -> list[Measurement]:
    """Times of all shapes, then memory of the large ones."""
    sizes, batches = (((16, 16),), (1, 4)) if options.quick else (((64, 64), (180, 320)), (1, 16))
    layouts = ["channels last"] if options.quick else list(LAYOUTS)
    found = []
    for batch, size, layout in product(batches, sizes, layouts):
        found += times(size, batch, layout, options)
    for layout in layouts:
        found += memory(sizes[-1], batches[-1], layout, options)
    return found


if __name__ == "__main__":
    main(__doc__, measure)
