import importlib

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from models.published import MEAN, picture, published_weights
from models.published_rnan import rnan as layout
from models.reading import (
    assert_damage_is_named,
    assert_half_precision_read,
    assert_others_do_not_match,
    assert_read,
    shapes,
    skeleton,
    write,
)

from restorekit.layers import initialize
from restorekit.models import RNAN, load_checkpoint, rnan
from restorekit.models.rnan import MAX_PIXELS, _halves

SMALL = {"channels": 6, "blocks": 2}
FACTORS = {2: (2,), 3: (3,), 4: (2, 2)}


def weightless(**options):
    with torch.device("meta"):
        return rnan(**options)


def started(scale=1, **options):
    """A network whose non-local blocks do something."""
    torch.manual_seed(0)
    model = RNAN(scale, **{**SMALL, **options}).double().eval()
    initialize(model)
    return model


# What the published network computes


class Transcript:
    """The paper's structure over the tensors of a file, pictures in 0 to 255."""

    def __init__(self, state):
        self.state = {key: tensor.double() for key, tensor in state.items()}

    def conv(self, name, x, **options):
        weight = self.state[f"{name}.weight"]
        return F.conv2d(x, weight, self.state[f"{name}.bias"], padding=weight.shape[-1] // 2, **options)

    def unit(self, name, x):
        return self.conv(f"{name}.body.2", F.relu(self.conv(f"{name}.body.0", x))) + x

    def non_local(self, name, x):
        theta, phi, g = (self.conv(f"{name}.{layer}", x).flatten(2) for layer in ("theta", "phi", "g"))
        weights = torch.einsum("nci,ncj->nij", theta, phi).softmax(dim=1)
        return self.conv(f"{name}.W", torch.einsum("nij,ncj->nci", weights, g).view(*x.shape[:1], -1, *x.shape[2:])) + x

    def mask(self, name, x):
        first = f"{name}.MB_RB1.0"
        if f"{first}.theta.weight" in self.state:
            x, first = self.non_local(first, x), f"{name}.MB_RB1.1"
        fine = self.unit(first, x)
        coarse = self.unit(f"{name}.MB_RB2.0", self.conv(f"{name}.MB_Down.0", fine, stride=2))
        weight, bias = self.state[f"{name}.MB_Up.0.weight"], self.state[f"{name}.MB_Up.0.bias"]
        up = F.conv_transpose2d(self.unit(f"{name}.MB_RB2.1", coarse), weight, bias, stride=2, padding=2)
        return torch.sigmoid(self.conv(f"{name}.MB_1x1conv.0", self.unit(f"{name}.MB_RB3.0", fine + up)))

    def group(self, name, x):
        inner = f"{name}.body.0"
        x = self.unit(f"{inner}.RA_RB1.0", x)
        trunk = self.unit(f"{inner}.RA_TB.0.body.1", self.unit(f"{inner}.RA_TB.0.body.0", x))
        x = trunk * self.mask(f"{inner}.RA_MB.0", x) + x
        return self.conv(f"{name}.body.1", self.unit(f"{inner}.RA_tail.1", self.unit(f"{inner}.RA_tail.0", x)))

    def body(self, x):
        x = self.group("body_nl_low.0", x)
        for i in range(SMALL["blocks"]):
            x = self.group(f"body.{i}", x)
        return self.group("body_nl_high.0", self.conv(f"body.{SMALL['blocks']}", x))

    def __call__(self, x, scale):
        if scale == 1:
            return x + self.conv("tail.0", self.body(self.conv("head.0", x)))
        mean = 255 * torch.tensor(MEAN, dtype=torch.float64).view(1, 3, 1, 1)
        head = self.conv("head.0", x - mean)
        y = self.body(head) + head
        for i, factor in enumerate(FACTORS[scale]):
            y = F.pixel_shuffle(self.conv(f"tail.0.{2 * i}", y), factor)
        return self.conv("tail.1", y) + mean


@pytest.mark.parametrize(("scale", "in_channels"), [(1, 3), (1, 1), (2, 3), (3, 3), (4, 3)])
def test_computes_what_the_paper_says(scale, in_channels, tmp_path):
    state = published_weights(layout(scale, **SMALL, in_channels=in_channels))
    x = picture(6, 8)[:, :in_channels].double()
    expected = Transcript(state)(x * 255, scale) / 255
    out = load_checkpoint(write(state, tmp_path)).double()(x)
    assert out.shape == (1, in_channels, 6 * scale, 8 * scale)
    assert (out - expected).abs().max() < 1e-4 * expected.std()


@pytest.mark.parametrize(
    ("options", "total"),
    [
        ({}, 8_959_555),
        ({"in_channels": 1}, 8_957_249),
        ({"scale": 2}, 9_107_291 - 24),  # the mean shifts are constants here
        ({"scale": 4}, 9_255_003 - 24),
    ],
)
def test_published_sizes(options, total):
    assert sum(p.numel() for p in weightless(**options).parameters()) == total


# Reading the published files


@pytest.mark.parametrize("options", [{}, {"in_channels": 1}, {"scale": 2}, {"scale": 3}, {"scale": 4}])
def test_reads_a_file_and_what_it_says_about_its_network(options, tmp_path):
    assert_read(layout(**SMALL, **options), rnan(**SMALL, **options), tmp_path)


def test_reads_the_published_network_from_its_keys_and_shapes():
    config, tensors = RNAN.layouts[0].read(skeleton(layout()))
    assert config == weightless().config
    assert shapes(tensors) == shapes(weightless().state_dict())


def test_a_mean_of_ones_own_gives_way_to_the_files(tmp_path):
    path = write(published_weights(layout(**SMALL)), tmp_path)
    model = rnan(**SMALL, mean=(0.4, 0.4, 0.4), weights=path).eval()
    x = picture(6, 8)
    assert torch.equal(model(x), load_checkpoint(path)(x))


@pytest.mark.parametrize(("scale", "key"), [(1, "body.0.body.0.RA_RB1.0.body.2.weight"), (2, "tail.1.weight")])
def test_names_what_is_wrong_with_a_file(scale, key, tmp_path):
    assert_damage_is_named(layout(scale, **SMALL), key, tmp_path)


def test_reads_half_precision(tmp_path):
    assert_half_precision_read(layout(2, **SMALL), tmp_path)


def test_files_of_other_networks_do_not_match():
    assert_others_do_not_match(RNAN)


# Large pictures


@pytest.fixture
def limit(monkeypatch):
    """Lower the number of pixels that are taken whole."""
    return lambda pixels: monkeypatch.setattr(importlib.import_module("restorekit.models.rnan"), "MAX_PIXELS", pixels)


@pytest.mark.parametrize("scale", [1, 2])
def test_a_large_picture_is_restored_in_the_authors_parts(scale, limit):
    """60 x 100 px: parts of 40 x 60 (half a side, cut to a multiple of 4, plus 12), each kept up to the middle."""
    limit(2401)
    model, x = started(scale, channels=2, blocks=1), picture(60, 100).double()
    with torch.inference_mode():
        top = [model(x[..., :40, :60]), model(x[..., :40, 40:])]
        bottom = [model(x[..., 20:, :60]), model(x[..., 20:, 40:])]
        upper = torch.cat([top[0][..., : 50 * scale], top[1][..., 10 * scale :]], dim=-1)[..., : 30 * scale, :]
        lower = torch.cat([bottom[0][..., : 50 * scale], bottom[1][..., 10 * scale :]], dim=-1)[..., 10 * scale :, :]
        out = model(x)
        assert torch.equal(out, torch.cat([upper, lower], dim=-2))
        whole = model.train()(x)
    assert not torch.equal(out, whole)
    assert (out - whole).abs().max() < 0.1


def test_the_authors_limit():
    model, taken = RNAN(channels=2, blocks=1).eval(), []
    model.entry.register_forward_pre_hook(lambda layer, arguments: taken.append(arguments[0].shape[-2:]))
    with torch.inference_mode():
        for size in [(99, 101), (100, 100)]:
            model(torch.rand(1, 3, *size))
    assert MAX_PIXELS == 10_000
    assert taken == [(100, 102), *[(60, 60)] * 4]


@pytest.mark.parametrize("size", [(1, 1000), (1001, 1), (20, 51), (31, 33), (33, 34), (64, 65)])
def test_any_large_size_is_kept(size, limit):
    limit(1000)
    model = RNAN(2, channels=2, blocks=1).eval()
    with torch.inference_mode():
        assert model(torch.rand(1, 3, *size)).shape == (1, 3, 2 * size[0], 2 * size[1])


def test_training_and_exported_programs_take_the_picture_whole(limit):
    limit(1000)
    model, x = started(channels=2, blocks=1), picture(32, 36).double()
    assert not torch.equal(model(x), model.train()(x))
    exported = torch.export.export(model.eval(), (x,)).module()
    assert torch.allclose(exported(x), model.train()(x), rtol=0, atol=1e-12)


@given(length=st.integers(1, 10_000))
def test_two_parts_cover_a_side_with_at_least_9_px_of_margin(length):
    parts = _halves(length)
    assert parts[0][2] == 0
    assert parts[-1][3] == length
    assert all(0 <= start <= first < last <= end <= length for start, end, first, last in parts)
    if len(parts) == 2:
        (start, end, _, last), (other_start, other_end, other_first, _) = parts
        assert last == other_first == length // 2
        assert end - start == other_end - other_start < length
        assert (end - start) % 4 == 0
        assert end - last >= 9
        assert other_first - other_start >= 8
    else:
        assert length <= 27


# Behaviour


def test_sizes_and_scale_are_declared():
    model = RNAN(3, **SMALL)
    assert (model.scale, model.size_multiple, model.in_channels, model.receptive_radius) == (3, 2, 3, None)
    assert model(torch.rand(1, 3, 1, 1)).shape == (1, 3, 3, 3)


def test_odd_sizes_are_padded_by_repeating_the_edge():
    model, x = started(), picture(5, 7).double()
    assert torch.equal(model(x), model(F.pad(x, (0, 1, 0, 1), mode="replicate"))[..., :5, :7])


def test_restoration_starts_from_the_picture_and_enlargement_from_the_mean():
    for scale, options in {1: {}, 2: {"mean": (0.1, 0.2, 0.3)}}.items():
        model, x = RNAN(scale, **SMALL, **options).eval(), torch.rand(1, 3, 4, 4)
        with torch.no_grad():
            for parameter in model.exit.parameters():
                parameter.zero_()
        expected = x if scale == 1 else torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
        assert torch.allclose(model(x), expected)


def test_exports_for_any_size():
    model, free = started(blocks=1), torch.export.Dim.DYNAMIC
    x = picture(8, 6).double()
    exported = torch.export.export(model, (x,), dynamic_shapes=({2: free, 3: free},)).module()
    for other in [(1, 3, 6, 8), (1, 3, 9, 7), (1, 3, 30, 25)]:
        x = torch.rand(other, dtype=torch.float64)
        assert torch.allclose(exported(x), model(x), rtol=0, atol=1e-12)


def test_gradient():
    model = started(channels=2, blocks=1)
    x = torch.rand(1, 3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


@pytest.mark.parametrize("scale", [0, 5, 8, 2.0, "4", True, (2, 3), None])
def test_refuses_scales_that_are_not_offered(scale):
    with pytest.raises(ValueError, match="scale must be one of 1, 2, 3, 4, got"):
        rnan(scale)


@pytest.mark.parametrize(("name", "minimum"), [("channels", 2), ("blocks", 1), ("in_channels", 1)])
def test_refuses_what_is_no_size(name, minimum):
    with pytest.raises(ValueError, match=f"{name} must be at least {minimum}, got {minimum - 1}"):
        rnan(**{name: minimum - 1})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        rnan(**{name: 2.0})


def test_refuses_a_mean_of_another_length():
    with pytest.raises(ValueError, match="one value for each of the 1 channels"):
        rnan(in_channels=1, mean=(0.1, 0.2, 0.3))


def test_refuses_what_is_no_batch_of_its_pictures():
    model = RNAN(**SMALL)
    with pytest.raises(ValueError, match="3 channels"):
        model(torch.rand(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"network's scales \(1\), got 2"):
        model(torch.rand(1, 3, 4, 4), scale=2)
