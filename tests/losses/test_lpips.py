import pytest
import torch
from torch import nn
from torch.autograd import gradcheck
from trunks import fill, pictures, ruled

from restorekit.losses import LPIPSLoss
from restorekit.metrics import LPIPS, lpips
from restorekit.models import AlexNetFeatures, VGG16Features


def network():
    trunk = fill(AlexNetFeatures(channels=2))
    return LPIPS(trunk, [ruled((2 * n,), n) + 0.5 for n in (1, 3, 6, 4, 4)]).double()


def test_it_is_the_metric_over_the_batch():
    distances = lpips(*pictures(), network())
    torch.testing.assert_close(LPIPSLoss(network())(*pictures()), distances.mean())
    torch.testing.assert_close(LPIPSLoss(network(), reduction="sum")(*pictures()), distances.sum())
    torch.testing.assert_close(LPIPSLoss(network(), reduction="none")(*pictures()), distances)


def test_gradient():
    net = LPIPS(fill(VGG16Features(channels=1)), [torch.ones(1), torch.ones(2)], taps=["relu1_1", "relu2_1"]).double()
    prediction, target = (x[:1, :, :4, :3] for x in pictures())
    assert gradcheck(lambda a: LPIPSLoss(net)(a, target), prediction.requires_grad_())


def test_the_network_moves_along_but_is_not_in_the_state():
    loss = nn.ModuleDict({"loss": LPIPSLoss(network())})
    assert dict(loss.state_dict()) == {}
    assert list(loss.parameters()) == []
    loss.float().train()
    net = loss["loss"].held.network
    assert {tensor.dtype for tensor in net.state_dict().values()} == {torch.float32}
    assert not net.trunk.training
    loss.load_state_dict({})


def test_bad_arguments():
    with pytest.raises(TypeError, match=r"metrics\.LPIPS, .* got str"):
        LPIPSLoss("alex")
    with pytest.raises(ValueError, match="mean, sum, none, got 'max'"):
        LPIPSLoss(network(), reduction="max")
    with pytest.raises(ValueError, match="prediction must have 3 channels"):
        LPIPSLoss(network())(torch.ones(1, 1, 32, 32), torch.ones(1, 1, 32, 32))
