"""Blend the features of pairs of pictures somewhere inside a network, and their targets alike."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from restorekit._check import check_generator, check_integer, check_interval
from restorekit._random import beta, uniform

MAX_ALPHA = 1e3  # all weights are 1/2 by then


class Mixing(NamedTuple):
    """Which pictures of a batch of N are blended, and how.

    Args:
        partner: Index of each picture's partner (N,).
        weight: Share of each picture itself (N,), in [0, 1].

    Example:
        >>> Mixing(torch.tensor([1, 0]), torch.tensor([0.75, 0.5])).partner.tolist()
        [1, 0]
    """

    partner: Tensor
    weight: Tensor


def draw_mixing(
    count: int,
    *,
    alpha: float = 2.0,
    same_on_batch: bool = False,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Mixing:
    """Draw a partner for each of ``count`` pictures, by a permutation, and shares from Beta(alpha, alpha).

    Args:
        count: Number of pictures.
        alpha: Above 1 shares gather around 1/2, below 1 at 0 and 1; 0 switches mixing off.
        same_on_batch: Draw one share for all pictures, as published.
        device: Where the result is needed.
        generator: Source of the draws.

    Returns:
        Partners and shares, for ``mix`` at as many places as there are.

    Raises:
        TypeError: An argument is not what its name says.
        ValueError: ``count`` below 1, or ``alpha`` outside [0, 1000].

    Example:
        >>> draw_mixing(3, alpha=0).weight
        tensor([1., 1., 1.])

    Source:
        Verma et al., ICML 2019 (arXiv:1806.05236).
    """
    check_integer(count, "count", 1)
    check_interval(alpha, "alpha", 0, MAX_ALPHA)
    check_generator(generator)
    device = torch.device(device)
    partner = uniform((count,), device=device, generator=generator).argsort()
    if alpha == 0:
        return Mixing(partner, torch.ones(count, device=device))
    weight = beta((1 if same_on_batch else count,), alpha, device=device, generator=generator)
    return Mixing(partner, weight.expand(count))


def mix(x: Tensor, mixing: Mixing) -> Tensor:
    """Blend each entry of a batch with its partner: w_i x_i + (1 - w_i) x_partner(i).

    Args:
        x: Features, pictures or targets (N, ...).
        mixing: From ``draw_mixing`` for N.

    Returns:
        A new tensor of the shape and dtype of ``x``.

    Raises:
        ValueError: A batch of another size than that of ``mixing``.

    Example:
        >>> mix(torch.tensor([[0.0], [8.0]]), Mixing(torch.tensor([1, 0]), torch.tensor([0.75, 0.5])))
        tensor([[2.],
                [4.]])

    Source:
        Verma et al., ICML 2019, equation 1.
    """
    if len(x) != len(mixing.partner):
        raise ValueError(f"x must hold the {len(mixing.partner)} pictures that were drawn for, got {tuple(x.shape)}")
    weight = mixing.weight.to(x).view(-1, *[1] * (x.ndim - 1))
    return torch.lerp(x[mixing.partner.to(x.device)], x, weight)


@final
class ManifoldMixup(nn.Module):
    """Run a network with its features blended behind one of some layers, drawn for each batch.

    A skip connection around a layer carries its features past the blending: choose layers that everything runs
    through, such as the first convolution or the upsampler of ``models.edsr``. A layer that runs several times is
    followed by blending the first time. In evaluation nothing is blended.

    Args:
        model: Network that takes pictures (N, ...) as its one argument. Not compiled: hooks do not reach inside.
        layers: Names of the layers as in ``model.named_modules()``; "" is the network's input, which is plain Mixup.
        alpha: Of the shares' Beta(alpha, alpha), see ``draw_mixing``.
        same_on_batch: Draw one share for all pictures of a batch, as published.

    Raises:
        TypeError: ``model`` is no module.
        ValueError: No layer or a name that the network has not, or ``alpha`` outside [0, 1000].

    Example:
        >>> mixup = ManifoldMixup(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1)), ["", "0"])
        >>> prediction, target = mixup(torch.rand(4, 3, 5, 5), torch.rand(4, 3, 5, 5))
        >>> prediction.shape, target.shape
        (torch.Size([4, 3, 5, 5]), torch.Size([4, 3, 5, 5]))

    Source:
        Verma et al., ICML 2019 (arXiv:1806.05236), with alpha 2. Here shares are drawn for each picture. Ahn's thesis,
        section 4.4.1, found it to hinder EDSR and to stop RCAN from learning.
    """

    def __init__(
        self, model: nn.Module, layers: Sequence[str], *, alpha: float = 2.0, same_on_batch: bool = False
    ) -> None:
        super().__init__()
        check_interval(alpha, "alpha", 0, MAX_ALPHA)
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be an nn.Module, got {type(model).__name__}")
        names = dict(model.named_modules(remove_duplicate=False))
        unknown = [name for name in layers if name not in names]
        if unknown or not layers or isinstance(layers, str):
            raise ValueError(f"layers must name modules of {type(model).__name__}, got {layers!r}; see named_modules()")
        self.model, self.layers = model, tuple(layers)
        self.alpha, self.same_on_batch = alpha, same_on_batch

    def forward(self, x: Tensor, target: Tensor, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Run the network.

        Args:
            x: Pictures (N, ...).
            target: What the network should make of them (N, ...).
            generator: Source of the draws.

        Returns:
            The network's output, and the target blended alike.

        Raises:
            ValueError: As many targets as pictures are needed.
            RuntimeError: The layer that was drawn did not run, or did not return a tensor.
        """
        check_generator(generator)
        if len(x) != len(target):
            raise ValueError(f"x and target must have the same batch size, got {len(x)} and {len(target)}")
        if not self.training:
            return self.model(x), target
        options: dict[str, Any] = {"device": x.device, "generator": generator}
        choice = int(uniform((1,), device=torch.device("cpu"), generator=generator) * len(self.layers))
        mixing = draw_mixing(len(x), alpha=self.alpha, same_on_batch=self.same_on_batch, **options)
        name = self.layers[choice]
        if name == "":
            return self.model(mix(x, mixing)), mix(target, mixing)
        with _mixed_behind(self.model.get_submodule(name), name, mixing):
            return self.model(x), mix(target, mixing)

    def extra_repr(self) -> str:
        return f"layers={self.layers}, alpha={self.alpha}, same_on_batch={self.same_on_batch}"


@contextmanager
def _mixed_behind(layer: nn.Module, name: str, mixing: Mixing) -> Iterator[None]:
    """Blend what the layer returns the first time it runs."""
    runs = 0

    def hook(_layer: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal runs
        runs += 1
        if not isinstance(output, Tensor):
            raise RuntimeError(f"layer {name!r} must return a tensor to be mixed, got {type(output).__name__}")
        return mix(output, mixing) if runs == 1 else output

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
    if runs == 0:
        raise RuntimeError(f"layer {name!r} did not run: name another, or pass the network before it is compiled")
