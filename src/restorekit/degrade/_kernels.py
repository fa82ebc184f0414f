"""The kernels of the blurs, made in float64 and differentiable."""

import math

import torch
from torch import Tensor

from restorekit.degrade._pieces import in_pieces, total

_LEAST = 1e-6  # px; a Gaussian of this width or less is a unit impulse


def distances(radius: int, like: Tensor) -> Tensor:
    """Whole distances from the centre (2 radius + 1,), in float64 on the device of ``like``."""
    return torch.arange(-radius, radius + 1, dtype=torch.float64, device=like.device)


def gaussian_taps(sigma: Tensor, radius: int) -> Tensor:
    """A sampled Gaussian (2 radius + 1,) of width ``sigma`` () in pixels, which may be 0; sums to 1."""
    weight = torch.exp(-0.5 * (distances(radius, sigma) / sigma.double().clamp(min=_LEAST)) ** 2)
    return weight / total(weight)


def turned_gaussian(sigma: Tensor, angle: Tensor, radius: int) -> Tensor:
    """A sampled Gaussian (K, K) of widths ``sigma`` (2,) along and across ``angle`` (), as ``gaussian_kernel2d``."""
    distance = distances(radius, sigma)
    # Rows grow downwards, so a counter-clockwise axis points to (cos, -sin).
    y, x = -distance[:, None], distance[None, :]
    along, across = sigma.double().clamp(min=_LEAST)
    cos, sin = angle.double().cos(), angle.double().sin()
    exponent = -0.5 * (((cos * x + sin * y) / along) ** 2 + ((cos * y - sin * x) / across) ** 2)
    weight = in_pieces(torch.exp, exponent[None])[0]
    return weight / total(weight)


def line(length: Tensor, angle: Tensor) -> Tensor:
    """The share of a line through the centre that lies in each pixel (K, K): ``length`` () px, at ``angle`` ()."""
    distance = distances(max(math.ceil(length.item() / 2 - 0.5), 0), length)
    # The line is t * (cos, -sin) with |t| <= length / 2; it is inside a column, or a row, for t between two crossings.
    # On an axis the crossings lie at infinity, which is what is wanted, but has no derivative: the angle gets none.
    direction = torch.stack([angle.detach().double().cos(), -angle.detach().double().sin()])
    one, other = (distance - 0.5) / direction[:, None], (distance + 0.5) / direction[:, None]
    enter, leave = torch.minimum(one, other), torch.maximum(one, other)
    half = length.double() / 2
    begin = torch.maximum(torch.maximum(enter[1][:, None], enter[0][None, :]), -half)
    end = torch.minimum(torch.minimum(leave[1][:, None], leave[0][None, :]), half)
    weight = (end - begin).clamp(min=0)
    return weight / total(weight)


def disc(radius: Tensor) -> Tensor:
    """The area of a disc that lies in each pixel (K, K), over the whole area: ``radius`` () px, which may be 0."""
    reach = max(math.ceil(radius.item() - 0.5), 0)
    if reach == 0:  # within the pixel in the middle
        return torch.ones(1, 1, dtype=torch.float64, device=radius.device)
    edges = torch.arange(reach + 1, dtype=torch.float64, device=radius.device) + 0.5
    edges = torch.cat([-edges.flip(0), edges])
    corner = _corner_area(edges[:, None].abs(), edges[None, :].abs(), radius.double())
    corner = corner * edges[:, None].sign() * edges[None, :].sign()
    weight = corner.diff(dim=0).diff(dim=1).clamp(min=0)
    return weight / total(weight)


def _corner_area(x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Area of a disc about the origin inside the box from there to (x, y), both at least 0."""
    x, y = torch.minimum(x, radius), torch.minimum(y, radius)
    # Up to where the circle comes down to y the height is y, from there to x it is the circle.
    corner = torch.minimum(x, _height(y, radius))
    return y * corner + _under_circle(x, radius) - _under_circle(corner, radius)


def _height(t: Tensor, radius: Tensor) -> Tensor:
    return torch.sqrt((radius * radius - t * t).clamp(min=1e-30))  # at 0 a square root has no derivative


def _under_circle(t: Tensor, radius: Tensor) -> Tensor:
    height = _height(t, radius)
    return (t * height + radius * radius * in_pieces(torch.atan, (t / height)[None])[0]) / 2
