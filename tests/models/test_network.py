import pytest
import torch
from torch import nn

from restorekit.layers import MeanShift
from restorekit.models import Network, carn
from restorekit.models.network import check_network, record


class Shifted(Network):
    def __init__(self, mean=(0.1, 0.2)):
        super().__init__(record(locals()))
        self.front, self.behind = MeanShift(mean, sign=-1), MeanShift(mean, sign=1)


def test_mean_is_replaced_everywhere():
    net = Shifted().double()
    net.set_mean([0.5, 0.25])
    assert net.front.shift.flatten().tolist() == [-0.5, -0.25]
    assert net.behind.shift.flatten().tolist() == [0.5, 0.25]
    assert net.behind.shift.dtype == torch.float64
    assert net.config == {"mean": (0.5, 0.25)}


def test_record_keeps_arguments_as_json_does():
    def construct(self, scale, *, mean, name):
        return record(locals())

    assert construct(None, [2, 3], mean=(0.5,), name="x") == {"scale": (2, 3), "mean": (0.5,), "name": "x"}


def test_nothing_is_spared_unless_a_network_says_so():
    assert not Shifted().can_spare("anything")
    assert carn((2, 3), channels=4).can_spare("upsamplers.4.convs.0.weight")


def test_other_modules_are_no_networks():
    check_network(Shifted())
    with pytest.raises(TypeError, match=r"must be a network of .*, got Conv2d"):
        check_network(nn.Conv2d(1, 1, 1))
