import pytest
import torch
from torch import nn

from restorekit.image import resize
from restorekit.models import SRCNN, VDSR, ZSSR, Restorer, load_checkpoint, load_weights, save_weights
from restorekit.models.enlarged import EnlargedRestorer

NETWORKS = {
    "SRCNN": lambda scale, **options: SRCNN(scale, channels=(4, 3), kernel_sizes=(5, 3, 3), **options),
    "VDSR": lambda scale, **options: VDSR(scale, channels=4, depth=4, **options),
    "ZSSR": lambda scale, **options: ZSSR(scale, **{"in_channels": 1, "channels": 4, "depth": 4, **options}),
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS)
def network(request):
    return request.param


def picture(height, width, channels=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, channels, height, width, generator=generator, dtype=torch.float64).to(dtype)


class Shift(EnlargedRestorer):
    """Reads one full-size pixel to each side."""

    def __init__(self, scale):
        super().__init__(scale, in_channels=1, config={"scale": scale})
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def refine(self, enlarged):
        return self.conv(enlarged)


def test_base_class_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        EnlargedRestorer(2, in_channels=1, config={})
    assert issubclass(EnlargedRestorer, Restorer)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_enlarging_first_changes_nothing_but_the_input(network, scale):
    model = network(scale).double()
    full = network(1).double()
    full.load_state_dict(model.state_dict())
    x = picture(3, 5)
    assert torch.allclose(model(x), full(resize(x, scale)), rtol=0, atol=1e-12)
    assert torch.equal(model(x), model(x, scale=scale))


def test_works_on_a_single_pixel_and_in_colour(network):
    assert network(3)(torch.rand(1, 1, 1, 1)).shape == (1, 1, 3, 3)
    assert network(2, in_channels=3)(torch.rand(2, 3, 1, 4)).shape == (2, 3, 2, 8)


def measured_radius(model, scale, side=41):
    x = torch.zeros(1, model.in_channels, side, 1)
    x[:, :, side // 2] = float("nan")
    with torch.inference_mode():
        rows = model(x).isnan().any(dim=1)[0].any(dim=1).nonzero().flatten() // scale
    return max(side // 2 - rows.min().item(), rows.max().item() - side // 2)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_receptive_radius_covers_the_measured_one(network, scale):
    model = network(scale)
    assert measured_radius(model, scale) <= model.receptive_radius <= measured_radius(model, scale) + 1


@pytest.mark.parametrize(("scale", "radius"), [(1, 1), (2, 3), (3, 3), (4, 3), (8, 3)])
def test_receptive_radius_is_the_kernels_and_the_convolutions(scale, radius):
    assert Shift(scale).receptive_radius == radius
    assert measured_radius(Shift(scale), scale) in {radius - 1, radius}


def test_enlargement_costs_no_multiply_adds(network):
    assert network(3).trace().multadds_per_pixel == 9 * network(1).trace().multadds_per_pixel


def test_weights_of_scale_1_fit_every_scale(network, tmp_path):
    source = network(1)
    save_weights(source, tmp_path / "full.safetensors")
    model = network(4)
    load_weights(model, tmp_path / "full.safetensors")
    assert torch.equal(model(x := picture(3, 4, dtype=torch.float32)), source(model.enlarge(x)))
    assert load_checkpoint(tmp_path / "full.safetensors").scale == 1


@pytest.mark.parametrize("scale", [0, 5, 2.0, "4", True, None, (2, 3), -2])
def test_refuses_scales_that_are_not_offered(network, scale):
    with pytest.raises(ValueError, match="scale must be one of 1, 2, 3, 4, 8, got"):
        network(scale)


def test_refuses_other_channels(network):
    with pytest.raises(ValueError, match="in_channels must be at least 1"):
        network(2, in_channels=0)
    with pytest.raises(TypeError, match="in_channels must be an integer"):
        network(2, in_channels=1.0)
    with pytest.raises(ValueError, match="1 channels, got shape"):
        network(2)(torch.rand(1, 4, 5, 5))


def test_refuses_another_scale_in_forward_and_another_dtype(network):
    with pytest.raises(ValueError, match=r"network's scales \(2\), got 3"):
        network(2)(torch.rand(1, 1, 4, 4), scale=3)
    with pytest.raises(TypeError, match="dtype of the weights"):
        network(2)(picture(3, 3))
