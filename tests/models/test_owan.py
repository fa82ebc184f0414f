import pytest
import torch
import torch.nn.functional as F
from models.published import picture, published_weights
from models.published_owan import owan as layout
from models.reading import (
    assert_damage_is_named,
    assert_half_precision_read,
    assert_others_do_not_match,
    assert_read,
    shapes,
    skeleton,
    write,
)

from restorekit.models import OWAN, load_checkpoint, owan

SMALL = {"channels": 4, "blocks": 2, "steps": 3}


def weightless(**options):
    with torch.device("meta"):
        return owan(**options)


# What the published network computes


class Transcript:
    """The paper's structure over the tensors of a file."""

    def __init__(self, state):
        self.state = {key: tensor.double() for key, tensor in state.items()}

    def conv(self, name, x, dilation=1):
        weight = self.state[f"{name}.weight"]
        groups, padding = x.shape[1] // weight.shape[1], weight.shape[-1] // 2 * dilation
        return F.conv2d(x, weight, padding=padding, dilation=dilation, groups=groups)

    def separable(self, name, x):
        inner = F.relu(self.conv(f"{name}.op.1", self.conv(f"{name}.op.0", x)))
        return self.conv(f"{name}.op.4", self.conv(f"{name}.op.3", inner))

    def dilated(self, name, x):
        return self.conv(f"{name}.op.1", self.conv(f"{name}.op.0", x, dilation=2))

    def average(self, x):
        """The mean over those of the nine pixels that lie in the picture."""
        ones = torch.ones_like(x[:, :1])
        window = torch.ones(1, 1, 3, 3, dtype=x.dtype)
        sums = F.conv2d(x.flatten(0, 1)[:, None], window, padding=1).view_as(x)
        return sums / F.conv2d(ones, window, padding=1)

    def attention(self, name, x):
        linear = [(self.state[f"{name}.ca_fc.{i}.weight"], self.state[f"{name}.ca_fc.{i}.bias"]) for i in (0, 2)]
        hidden = F.relu(F.linear(x.flatten(2).mean(2), *linear[0]))
        return F.linear(hidden, *linear[1]).view(len(x), SMALL["steps"], 8).softmax(2)

    def group(self, index, x):
        weights = self.attention(f"layers.{2 * index}", x)
        name = f"layers.{2 * index + 1}"
        x = F.relu(self.conv(f"{name}.preprocess.op.0", x))
        for i in range(SMALL["steps"]):
            step = f"{name}._ops.{i}"
            results = [self.separable(f"{step}._ops.{k}", x) for k in range(4)]
            results += [self.dilated(f"{step}._ops.{k}", x) for k in (4, 5, 6)] + [self.average(x)]
            stack = torch.stack(results, 1) * weights[:, i, :, None, None, None]
            x = F.relu(F.relu(self.conv(f"{step}._out.0", stack.flatten(1, 2))) + x)
        return x

    def __call__(self, x):
        x = self.conv("FEB.0", x)
        for i in range(1, 5):
            x = F.relu(self.conv(f"FEB.{i}.conv2", F.relu(self.conv(f"FEB.{i}.conv1", x))) + x)
        for index in range(SMALL["blocks"]):
            x = self.group(index, x)
        return self.conv("conv2", x)


def test_computes_what_the_paper_says(tmp_path):
    state = published_weights(layout(**SMALL))
    x = torch.cat([picture(7, 9), 0.3 * picture(7, 9).flip(3)]).double()  # two pictures with attention of their own
    expected = Transcript(state)(x)
    out = load_checkpoint(write(state, tmp_path)).double()(x)
    assert (out - expected).abs().max() < 1e-5 * expected.std()


def test_published_size():
    assert sum(p.numel() for p in weightless().parameters()) == 391_456
    assert len(weightless().state_dict()) == 980


# Reading the published file


@pytest.mark.parametrize("options", [SMALL, {"channels": 3, "blocks": 1, "steps": 2, "in_channels": 1}])
def test_reads_a_file_and_what_it_says_about_its_network(options, tmp_path):
    assert_read(layout(**options), owan(**options), tmp_path)


def test_reads_the_published_network_from_its_keys_and_shapes():
    config, tensors = OWAN.layouts[0].read(skeleton(layout()))
    assert config == weightless().config
    assert shapes(tensors) == shapes(weightless().state_dict())


@pytest.mark.parametrize("key", ["layers.1._ops.0._ops.4.op.0.weight", "FEB.4.conv2.weight"])
def test_names_what_is_wrong_with_a_file(key, tmp_path):
    assert_damage_is_named(layout(**SMALL), key, tmp_path)


def test_reads_half_precision(tmp_path):
    assert_half_precision_read(layout(**SMALL), tmp_path)


def test_files_of_other_networks_do_not_match():
    assert_others_do_not_match(OWAN)


# Behaviour


def test_sizes_and_scale_are_declared():
    model = OWAN(**SMALL, in_channels=1)
    assert (model.scale, model.size_multiple, model.in_channels, model.receptive_radius) == (1, 1, 1, None)
    assert model(torch.rand(1, 1, 1, 1)).shape == (1, 1, 1, 1)


def test_only_the_attention_has_biases():
    names = [name for name, _ in OWAN(**SMALL).named_parameters() if name.endswith("bias")]
    assert len(names) == 2 * SMALL["blocks"]
    assert all(".attention." in name for name in names)


def test_attention_shares_are_positive_and_sum_to_one_in_every_step():
    weights = OWAN(**SMALL).body[0].attention(torch.randn(2, 4, 5, 5))
    assert weights.shape == (2, 3, 8)
    assert weights.min() > 0
    assert torch.allclose(weights.sum(2), torch.ones(2, 3))


def test_gradient():
    model = OWAN(channels=2, blocks=1, steps=1).double()
    x = torch.rand(1, 3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


@pytest.mark.parametrize("name", ["channels", "blocks", "steps", "in_channels"])
def test_refuses_what_is_no_size(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        owan(**{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        owan(**{name: 2.0})


def test_refuses_what_is_no_batch_of_its_pictures():
    with pytest.raises(ValueError, match="3 channels"):
        OWAN(**SMALL)(torch.rand(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"network's scales \(1\), got 2"):
        OWAN(**SMALL)(torch.rand(1, 3, 4, 4), scale=2)
