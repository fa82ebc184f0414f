import pytest
import torch

from restorekit.layers import DIV2K_MEAN, MeanShift


def test_equals_the_frozen_convolution_of_the_published_networks():
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for sign in (-1, 1):
        identity = torch.eye(3, dtype=torch.float64).view(3, 3, 1, 1)
        expected = torch.nn.functional.conv2d(x, identity, sign * torch.tensor(DIV2K_MEAN, dtype=torch.float64))
        assert torch.allclose(MeanShift(sign=sign).double()(x), expected, rtol=0, atol=1e-7)


def test_published_mean():
    assert DIV2K_MEAN == (0.4488, 0.4371, 0.4040)


def test_taking_off_and_putting_back_cancel():
    x = torch.rand(1, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(MeanShift([0.3, 0.7], sign=1)(MeanShift([0.3, 0.7], sign=-1)(x)), x, atol=1e-7)


def test_mean_is_a_buffer_that_follows_the_module_but_is_not_stored():
    shift = MeanShift(sign=-1)
    assert not shift.state_dict()
    assert not list(shift.parameters())
    assert [name for name, _ in shift.named_buffers()] == ["shift"]
    assert shift.double().shift.dtype == torch.float64
    assert shift.to("meta").shift.device.type == "meta"


@pytest.mark.parametrize("sign", [0, 2, -3, "1", None, [1]])
def test_refuses_other_signs(sign):
    with pytest.raises(ValueError, match="sign must be 1 or -1"):
        MeanShift(sign=sign)


def test_refuses_an_empty_mean():
    with pytest.raises(ValueError, match="at least one value"):
        MeanShift([], sign=1)


def test_leaves_its_input_alone_and_passes_the_gradient_through():
    x = torch.zeros(1, 3, 2, 2, requires_grad=True)
    MeanShift(sign=1)(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))
    assert not x.detach().any()


def test_describes_what_it_adds():
    assert "-0.4488, -0.4371, -0.4040" in repr(MeanShift(sign=-1))
