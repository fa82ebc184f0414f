"""The MDF loss, forward and backward, against the loop over discriminators as its formula is written.

Target: 1.5 times as fast as the loop that has a graph of prediction and target both, with the same value. That loop is
the first row: BatchNorm in evaluation, nothing folded, parameters that require a gradient and get it, as they do after
construction. The next has them frozen, as published, and a target that requires a gradient; the third has no graph of
the target.

In float32 gradients differ by what rounding does at the kinks of LeakyReLU; a line says how far both are from
float64.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial

import torch
from harness import Measurement, Options, compare, main
from torch import Tensor, nn
from torch.nn import functional as F

from restorekit.losses import MDFLoss
from restorekit.models import SinGANDiscriminator

WIDTHS = (32, 32, 32, 32, 64, 64, 64, 64)  # as published

Loss = Callable[[Tensor, Tensor], Tensor]


def loop(discriminators: Sequence[SinGANDiscriminator]) -> Loss:
    """The formula of the loss."""

    def maps(one: SinGANDiscriminator, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        head = one.head(x)
        body = one.body(head)
        return head, body, one.tail(body)

    def loss(prediction: Tensor, target: Tensor) -> Tensor:
        total = torch.zeros((), device=prediction.device)
        for one in discriminators:
            for a, b in zip(maps(one, prediction), maps(one, target), strict=True):
                total = total + F.mse_loss(a, b)
        return total

    return loss


def row(title: str, ways: dict[str, Loss], pictures: tuple[Tensor, Tensor], repeats: int) -> Measurement:
    """What each way finds, how far its gradient is from the first one's, and how long both take."""
    target = pictures[1]
    prediction = pictures[0].clone().requires_grad_()

    def step(loss: Loss) -> tuple[Tensor, Tensor]:
        prediction.grad = None
        value = loss(prediction, target)
        value.backward()
        assert prediction.grad is not None
        return value.detach(), prediction.grad

    first, said = step(next(iter(ways.values())))[1], []
    for name, loss in ways.items():
        value, gradient = step(loss)
        off = ((gradient - first).norm() / first.norm()).item()
        said.append(f"{name} {value.item():.8f}, gradient off by {off:.1e}")
    calls: dict[str, Callable[[], object]] = {name: partial(step, loss) for name, loss in ways.items()}
    return compare(title, calls, repeats=repeats, table="Forward and backward", note="; ".join(said), limit=40)


def gradient_of(
    make: Callable[[list[SinGANDiscriminator]], Loss],
    networks: list[SinGANDiscriminator],
    pictures: tuple[Tensor, Tensor],
    dtype: torch.dtype,
) -> Tensor:
    """The gradient of the first two pictures in a dtype."""
    prediction, target = (x[:2].to(dtype) for x in pictures)
    loss = make([copy.deepcopy(one).to(dtype) for one in networks])
    return torch.autograd.grad(loss(prediction.requires_grad_(), target), prediction)[0]


def discriminators() -> list[SinGANDiscriminator]:
    """Of the published layout, with statistics of a network that was trained on something."""
    generator = torch.Generator().manual_seed(0)
    found = [SinGANDiscriminator(channels=width).eval() for width in WIDTHS]
    with torch.no_grad():
        for layer in nn.ModuleList(found).modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.normal_(0, (2 / layer.weight[0].numel()) ** 0.5, generator=generator)
                assert layer.bias is not None
                layer.bias.normal_(0, 0.1, generator=generator)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.9, 1.1, generator=generator)
                layer.running_mean.normal_(0, 0.1, generator=generator)
                layer.running_var.uniform_(0.5, 1.5, generator=generator)
    return found


def rounding(networks: list[SinGANDiscriminator], pictures: tuple[Tensor, Tensor]) -> str:
    """How far gradients in float32 are from those in float64."""
    exact, plain = (gradient_of(loop, networks, pictures, dtype) for dtype in (torch.float64, torch.float32))
    ours = gradient_of(MDFLoss, networks, pictures, torch.float32)
    off = [((one - exact).norm() / exact.norm()).item() for one in (plain, ours)]
    return f"gradient in float32 off from float64 by {off[0]:.1e} (loop) and {off[1]:.1e} (restorekit)"


def measure(options: Options) -> list[Measurement]:
    """A training batch, with gradient and without."""
    shape, repeats = ((1, 3, 32, 32), 2) if options.quick else ((16, 3, 96, 96), 7)
    generator = torch.Generator().manual_seed(1)
    target, noise = (torch.rand(shape, generator=generator) for _ in range(2))
    pictures = (0.8 * target + 0.2 * noise, target)
    networks = discriminators()
    frozen = [copy.deepcopy(one).requires_grad_(False) for one in networks]
    fast = MDFLoss(networks)
    seen = fast.features(target)
    ways: dict[str, Loss] = {
        "loop, graph of both": loop(networks),
        "loop, frozen, graph of both": lambda a, b: loop(frozen)(a, b.clone().requires_grad_()),
        "loop, frozen": loop(frozen),
        "restorekit": fast,
        "restorekit, features used again": lambda a, b: fast(a, seen),
        "restorekit, channels_last pictures": lambda a, b: fast(
            *(x.to(memory_format=torch.channels_last) for x in (a, b))
        ),
        "restorekit, bfloat16": copy.deepcopy(fast).bfloat16(),
    }
    size = " x ".join(map(str, shape))
    found = [row(size, ways, pictures, repeats)]
    options.say(rounding(frozen, pictures))
    calls = {name: partial(loss, *pictures) for name, loss in ways.items() if "graph" not in name}
    with torch.no_grad():
        return [*found, compare(size, calls, repeats=repeats, table="Forward")]


if __name__ == "__main__":
    main(__doc__, measure)
