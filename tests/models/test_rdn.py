import pytest
import torch
import torch.nn.functional as F
from models.published import picture, published_weights
from models.published_rdn import FACTORS, rdn_edsr_pytorch, rdn_yjn870
from models.reading import (
    assert_damage_is_named,
    assert_half_precision_read,
    assert_others_do_not_match,
    assert_read,
    shapes,
    skeleton,
    write,
)

from restorekit.models import RDN, load_checkpoint, rdn

SMALL = {"channels": 6, "growth": 4, "blocks": 3, "layers": 2}
NAMES = {
    rdn_edsr_pytorch: ("SFENet1", "SFENet2", "RDBs.{}.convs.{}.conv.0", "RDBs.{}.LFF", "GFF", "UPNet.{}"),
    rdn_yjn870: ("sfe1", "sfe2", "rdbs.{}.layers.{}.conv", "rdbs.{}.lff", "gff", "upscale.{}"),
}


def weightless(**options):
    with torch.device("meta"):
        return rdn(**options)


# What the published network computes


def transcript(state, x, layout, scale):
    """The papers' equations over the tensors of a file."""
    first, second, layer, fusion, fusions, stage = NAMES[layout]

    def conv(name, y):
        weight = state[f"{name}.weight"].double()
        return F.conv2d(y, weight, state[f"{name}.bias"].double(), padding=weight.shape[-1] // 2)

    shallow = conv(first, x)
    y, outputs = conv(second, shallow), []
    for i in range(SMALL["blocks"]):
        dense = [y]
        for j in range(SMALL["layers"]):
            dense.append(F.relu(conv(layer.format(i, j), torch.cat(dense, 1))))
        y = y + conv(fusion.format(i), torch.cat(dense, 1))
        outputs.append(y)
    y = shallow + conv(f"{fusions}.1", conv(f"{fusions}.0", torch.cat(outputs, 1)))
    for i, factor in enumerate(FACTORS[scale]):
        y = F.pixel_shuffle(conv(stage.format(2 * i), y), factor)
    return conv("output" if layout is rdn_yjn870 else stage.format(2 * len(FACTORS[scale])), y)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(("layout", "largest"), [(rdn_edsr_pytorch, 255), (rdn_yjn870, 1)])
def test_computes_what_the_papers_equations_say(layout, largest, scale, tmp_path):
    state = published_weights(layout(scale, **SMALL))
    x = picture(5, 6).double()
    expected = transcript(state, x * largest, layout, scale) / largest
    out = load_checkpoint(write(state, tmp_path)).double()(x)
    assert out.shape == (1, 3, 5 * scale, 6 * scale)
    assert (out - expected).abs().max() < 1e-5 * expected.std()


@pytest.mark.parametrize(("scale", "total"), [(1, 21_975_683), (2, 22_123_395), (3, 22_308_035), (4, 22_271_107)])
def test_published_sizes(scale, total):
    assert sum(p.numel() for p in weightless(scale=scale).parameters()) == total


@pytest.mark.parametrize(("scale", "gigas"), [(2, 5096), (3, 2285), (4, 1309)])
def test_published_multiply_adds_for_a_720p_picture(scale, gigas):
    found = weightless(scale=scale).trace().multadds_per_pixel * 1280 * 720 / scale**2 / 1e9
    assert float(found) == pytest.approx(gigas, abs=0.5)


# Reading the published files


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("layout", [rdn_edsr_pytorch, rdn_yjn870])
def test_reads_a_file_and_what_it_says_about_its_network(layout, scale, tmp_path):
    options = {**SMALL, "in_channels": 1} if scale == 1 else SMALL
    assert_read(layout(scale, **options), rdn(scale, **options), tmp_path)


@pytest.mark.parametrize("scale", [2, 4])
def test_reads_the_published_network_from_its_keys_and_shapes(scale):
    for layout, reader in zip((rdn_edsr_pytorch, rdn_yjn870), RDN.layouts, strict=True):
        config, tensors = reader.read(skeleton(layout(scale)))
        model = weightless(scale=scale)
        assert config == model.config
        assert shapes(tensors) == shapes(model.state_dict())


@pytest.mark.parametrize(("layout", "key"), [(rdn_edsr_pytorch, "UPNet.0.weight"), (rdn_yjn870, "gff.1.weight")])
def test_names_what_is_wrong_with_a_file(layout, key, tmp_path):
    assert_damage_is_named(layout(4, **SMALL), key, tmp_path)


def test_reads_half_precision(tmp_path):
    assert_half_precision_read(rdn_edsr_pytorch(2, **SMALL), tmp_path)


def test_files_of_other_networks_do_not_match():
    assert_others_do_not_match(RDN)


def test_refuses_an_upsampler_of_another_width(tmp_path):
    """EDSR-PyTorch's is as wide as the growth."""
    layout = rdn_edsr_pytorch(2, **SMALL)
    layout |= {"UPNet.0.weight": (16, 6, 3, 3), "UPNet.0.bias": (16,), "UPNet.2.weight": (3, 4, 3, 3)}
    with pytest.raises(ValueError, match="its upsampler has 4 channels and its features 6"):
        load_checkpoint(write(published_weights(layout), tmp_path))


# Behaviour


def test_sizes_and_scale_are_declared():
    model = RDN(3, **SMALL, in_channels=1)
    assert (model.scale, model.size_multiple, model.in_channels) == (3, 1, 1)
    assert model(torch.rand(1, 1, 1, 1)).shape == (1, 1, 3, 3)


def test_receptive_radius_is_that_of_all_convolutions_in_a_row():
    assert weightless(scale=1).receptive_radius == 2 + 16 * 8 + 1 + 1


def test_gradient():
    model = RDN(2, channels=2, growth=1, blocks=2, layers=1).double()
    x = torch.rand(1, 3, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


@pytest.mark.parametrize("scale", [0, 5, 2.0, "4", True, (2, 3), None])
def test_refuses_scales_that_are_not_offered(scale):
    with pytest.raises(ValueError, match="scale must be one of 1, 2, 3, 4, 8, got"):
        rdn(scale)


@pytest.mark.parametrize("name", ["channels", "growth", "blocks", "layers", "in_channels"])
def test_refuses_what_is_no_size(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        rdn(2, **{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        rdn(2, **{name: 2.0})


def test_refuses_what_is_no_batch_of_its_pictures():
    model = RDN(2, **SMALL)
    with pytest.raises(ValueError, match="3 channels"):
        model(torch.rand(1, 4, 4, 4))
    with pytest.raises(ValueError, match=r"network's scales \(2\), got 3"):
        model(torch.rand(1, 3, 4, 4), scale=3)
