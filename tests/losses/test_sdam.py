import numpy as np
import pytest
import torch
from torch.autograd import gradcheck

from restorekit.losses import SDAMLoss
from restorekit.models import idr


def pictures(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 3, 8, 12), (2, 3, 8, 12), (2, 3, 8, 12), (2, 3, 4, 6)]
    lq, hq, *images = ((3 * torch.rand(shape, generator=generator)).to(dtype) for shape in shapes)
    return images, lq, hq


@pytest.mark.parametrize("reference", ["degraded", "clean"])
def test_equals_numpy(reference):
    images, lq, hq = pictures()
    picture = (lq if reference == "degraded" else hq).numpy()
    halved = picture.reshape(2, 3, 4, 2, 6, 2).mean(axis=(3, 5))  # what bilinear sampling halfway between pixels gives
    levels = zip((picture, halved), images, strict=True)
    expected = sum(np.abs(image.numpy() - level).mean() for level, image in levels)
    assert SDAMLoss(reference)(images, lq, hq).item() == pytest.approx(expected)


def test_the_default_is_the_paper_s():
    assert repr(SDAMLoss()) == "SDAMLoss(reference='degraded')"
    images, lq, hq = pictures()
    assert torch.equal(SDAMLoss()(images, lq, hq), SDAMLoss("degraded")(images, lq, hq))


@pytest.mark.parametrize("reference", ["degraded", "clean"])
def test_takes_what_idr_returns(reference):
    net = idr(channels=4, blocks=(1, 1, 1, 1), hub_size=2, refinement_blocks=1)
    lq, hq = torch.rand(1, 3, 16, 8), torch.rand(1, 3, 16, 8)
    images = net.analyse(lq, degradation="noise").images
    assert len(images) == 3
    loss = SDAMLoss(reference)(images, lq, hq)
    loss.backward()
    attention = net.priors["encoder1"].degradation
    assert loss > 0
    assert attention.to_image.weight.grad.any()


def test_gradient():
    generator = torch.Generator().manual_seed(0)
    shapes = ((1, 1, 4, 4), (1, 1, 2, 2), (1, 1, 4, 4))
    first, second, lq = (torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    inputs = (first.requires_grad_(), second.requires_grad_())
    assert gradcheck(lambda *images: SDAMLoss()(images, lq, lq), inputs)


def test_identical_pictures_cost_nothing_and_have_a_finite_gradient():
    _, lq, hq = pictures()
    image = hq.clone().requires_grad_()
    loss = SDAMLoss("clean")([image], lq, hq)
    loss.backward()
    assert loss.item() == 0
    assert image.grad.isfinite().all()


def test_half_types_are_computed_in_float32():
    images, lq, hq = pictures(torch.bfloat16)
    found = SDAMLoss()(images, lq, hq)
    assert found.dtype == torch.float32
    assert torch.equal(found, SDAMLoss()([image.float() for image in images], lq.float(), hq.float()))


P = torch.zeros(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("images", "lq", "error", "match"),
    [
        ([], P, ValueError, "at least one level"),
        (P, P, TypeError, "images must be a list of tensors, one for each level, got Tensor"),
        ([P[:1]], P, ValueError, "batch size and channels of lq"),
        ([P[:, :1]], P, ValueError, "batch size and channels of lq"),
        ([P.double()], P, ValueError, "images and lq must have the same dtype"),
        ([P.int()], P, TypeError, "images must be a real floating-point tensor"),
        ([P], P.int(), TypeError, "lq must be a real floating-point tensor"),
        ([P], P[0], ValueError, "lq must have 4 dimensions"),
    ],
)
def test_bad_pictures(images, lq, error, match):
    with pytest.raises(error, match=match):
        SDAMLoss()(images, lq, P)


def test_bad_reference():
    with pytest.raises(ValueError, match="reference must be one of degraded, clean, got 'hq'"):
        SDAMLoss("hq")
