import pytest
import torch
import torch.nn.functional as F
from torch import nn

from restorekit.layers import SharedResidualInResidual, SResidualBlock, TemplateBank, orthogonal_coefficients


def features(*shape, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)


def block_of(x, first, second):
    """The equation in plain calls, from two kernels."""
    padding = tuple(size // 2 for size in first.shape[2:])
    return F.conv2d(F.conv2d(x, first, padding=padding).clamp(min=0), second, padding=padding) + x


@pytest.mark.parametrize("kernel_size", [1, 3, (1, 5)])
def test_block_is_its_equation(kernel_size):
    bank = TemplateBank(3, 4, 4, kernel_size).double()
    block, x = SResidualBlock(bank).double(), features(2, 4, 6, 5)
    assert torch.allclose(block(x), block_of(x, block.conv1.kernel(), block.conv2.kernel()), rtol=0, atol=1e-12)


def test_chain_is_its_equation():
    bank = TemplateBank(3, 4, 4, 3).double()
    unit, x = SharedResidualInResidual(bank, 2).double(), features(2, 4, 6, 5)
    out = x
    for block in unit.body:
        out = block_of(out, block.conv1.kernel(), block.conv2.kernel())
    assert torch.allclose(unit(x), out + x, rtol=0, atol=1e-12)


def test_rows_go_to_the_layers_in_their_order():
    bank, rows = TemplateBank(3, 4, 4, 3), torch.arange(12.0).view(4, 3)
    unit = SharedResidualInResidual(bank, 2, coefficients=rows)
    layers = [layer for block in unit.body for layer in (block.conv1, block.conv2)]
    assert torch.equal(torch.stack([layer.coefficients for layer in layers]), rows)


def test_holds_coefficients_alone():
    bank = TemplateBank(3, 4, 4, 3)
    network = nn.ModuleList([bank, SharedResidualInResidual(bank, 2), SharedResidualInResidual(bank, 3)])
    assert sum(p.numel() for p in network.parameters()) == 3 * 4 * 4 * 9 + 10 * 3
    assert len(network.state_dict()) == 11
    assert len(SharedResidualInResidual(bank).body) == 12


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_result_has_the_dtype_of_the_input(dtype):
    bank = TemplateBank(3, 4, 4, 3)
    unit = SharedResidualInResidual(bank, 2, coefficients=orthogonal_coefficients(4, 3))
    bank.double()
    exact = unit.double()(features(1, 4, 5, 6))
    bank.to(dtype)
    out = unit.to(dtype)(features(1, 4, 5, 6, dtype=dtype))
    assert out.dtype == dtype
    assert (out.double() - exact).abs().max() < (0.05 if dtype == torch.bfloat16 else 1e-5) * exact.abs().max()


def test_gradient():
    bank = TemplateBank(2, 2, 2, 3).double()
    unit, x = SharedResidualInResidual(bank, 1).double(), features(1, 2, 4, 3).requires_grad_()
    sources = [x, bank.templates, *unit.parameters()]
    assert torch.autograd.gradcheck(lambda x, *_: unit(x), sources, fast_mode=True)


@pytest.mark.parametrize("part", [SResidualBlock, SharedResidualInResidual])
def test_refuses_banks_and_coefficients_that_do_not_fit(part):
    for sizes in ((3, 4, 8, 3), (3, 4, 4, 2), (3, 4, 4, (3, 2))):
        with pytest.raises(ValueError, match="bank must have as many output as input channels"):
            part(TemplateBank(*sizes))
    with pytest.raises(TypeError, match="bank must be a TemplateBank, got int"):
        part(16)
    with pytest.raises(ValueError, match="coefficients must be a tensor of shape"):
        part(TemplateBank(3, 4, 4, 3), coefficients=torch.zeros(2, 4))
    with pytest.raises(ValueError, match="blocks must be at least 1, got 0"):
        SharedResidualInResidual(TemplateBank(3, 4, 4, 3), 0)
