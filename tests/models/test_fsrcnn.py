import pytest
import torch
import torch.nn.functional as F
from models import published_plain
from models.published import published_weights

from restorekit.models import FSRCNN, fsrcnn, load_checkpoint, load_weights, srcnn

SMALL = {"channels": 5, "shrunk_channels": 3, "blocks": 2}


def layout(**sizes):
    return published_plain.fsrcnn(**{"channels": 5, "shrunk": 3, "blocks": 2, **sizes})


def picture(height=6, width=7, channels=1, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, channels, height, width, generator=generator, dtype=torch.float64).to(dtype)


def transcription(tensors, x, scale):
    """The network of the paper by its file's names; the last layer spreads each feature over 9x9 outputs."""
    names = [
        "first_part.0",
        *sorted({k[:-7] for k in tensors if k.startswith("mid") and k.endswith("weight")}, key=_place),
    ]
    for name in names:
        weight = tensors[f"{name}.weight"]
        if weight.ndim == 4:
            x = F.conv2d(x, weight, tensors[f"{name}.bias"], padding=weight.shape[-1] // 2)
            slope = tensors[f"{name.split('.')[0]}.{_place(name) + 1}.weight"].view(1, -1, 1, 1)
            x = torch.where(x > 0, x, slope * x)
    kernel = tensors["last_part.weight"]
    out = torch.zeros(len(x), kernel.shape[1], x.shape[2] * scale + 8, x.shape[3] * scale + 8)
    for i in range(x.shape[2]):
        for j in range(x.shape[3]):
            spread = torch.einsum("nc,cohw->nohw", x[:, :, i, j], kernel)
            out[:, :, i * scale : i * scale + 9, j * scale : j * scale + 9] += spread
    return out[:, :, 4:-4, 4:-4] + tensors["last_part.bias"].view(1, -1, 1, 1)


def _place(name):
    return int(name.split(".")[1])


@pytest.fixture
def save(tmp_path):
    def save(tensors):
        torch.save(tensors, tmp_path / "model.pth")
        return tmp_path / "model.pth"

    return save


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_published_files_compute_what_the_paper_says(scale, save):
    tensors = published_weights(layout())
    model = fsrcnn(scale, **SMALL, weights=save(tensors))
    assert torch.allclose(model(picture()), transcription(tensors, picture(), scale), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_published_network_at_full_size(scale, save):
    tensors = published_weights(published_plain.fsrcnn())
    model = fsrcnn(scale, weights=save(tensors))
    assert model.config["scale"] == scale
    assert torch.allclose(model(picture(3, 4)), transcription(tensors, picture(3, 4), scale), rtol=0, atol=1e-6)


def test_a_file_for_rgb_is_read(save):
    tensors = published_weights(layout(in_channels=3))
    x = picture(channels=3)
    model = fsrcnn(2, in_channels=3, **SMALL, weights=save(tensors))
    assert torch.allclose(model(x), transcription(tensors, x, 2), rtol=0, atol=1e-6)


def test_a_file_does_not_tell_its_scale(save):
    message = r"FSRCNN, but its tensors do not tell scale: say it, models\.load_checkpoint\(path, scale=...\)"
    with pytest.raises(ValueError, match=message):
        load_checkpoint(save(published_weights(published_plain.fsrcnn())))


def test_half_precision_is_read(save):
    tensors = {key: tensor.half() for key, tensor in published_weights(layout()).items()}
    model = fsrcnn(2, **SMALL, weights=save(tensors))
    assert torch.equal(model.exit.weight, tensors["last_part.weight"].float())


def test_published_sizes_and_multiply_adds():
    """The last layer is charged at every output pixel, as the published figures have it."""
    with torch.device("meta"):
        assert sum(p.numel() for p in fsrcnn().parameters()) == 12_809
        assert sum(p.numel() for p in fsrcnn().parameters() if p.ndim == 4) == 12_464
        for scale, expected in {2: 6.007, 3: 4.992, 4: 4.637}.items():
            gigas = float(fsrcnn(scale).trace().multadds_per_pixel) * 1280 * 720 / scale**2 / 1e9
            assert gigas == pytest.approx(expected, abs=0.0005)


@pytest.mark.parametrize(("scale", "radius"), [(2, 8), (3, 8), (4, 7), (8, 7)])
def test_receptive_radius_is_the_measured_one(scale, radius):
    """The last kernel reaches 4 output pixels to each side: 2 or 1 of the input, by scale."""
    model = fsrcnn(scale)
    x = torch.zeros(1, 1, 35, 1)
    x[:, :, 17] = float("nan")
    with torch.inference_mode():
        rows = model(x).isnan()[0, 0].any(dim=1).nonzero().flatten() // scale
    assert model.receptive_radius == max(17 - rows.min().item(), rows.max().item() - 17) == radius


def test_initial_weights_are_the_papers():
    torch.manual_seed(0)
    model = fsrcnn()
    assert model.exit.weight.std().item() == pytest.approx(0.001, rel=0.1)
    assert not model.exit.bias.any()
    assert model.entry.conv.weight.std().item() == pytest.approx((2 / 25) ** 0.5, rel=0.1)
    assert torch.equal(model.body[1].activation.weight, torch.full((12,), 0.25))


def test_gradient():
    model = FSRCNN(3, channels=2, shrunk_channels=2, blocks=1).double()
    x = picture(2, 3, dtype=torch.float64)[:1].requires_grad_()
    assert torch.autograd.gradcheck(model, (x,), fast_mode=True)


@pytest.mark.parametrize("key", ["first_part.1.weight", "mid_part.4.weight", "mid_part.7.weight", "last_part.bias"])
def test_missing_key_is_named(key, save):
    tensors = published_weights(layout())
    del tensors[key]
    with pytest.raises(ValueError, match=rf"looks like FSRCNN.*misses the key '{key}'"):
        load_weights(fsrcnn(2, **SMALL), save(tensors))


@pytest.mark.parametrize("key", ["mid_part.1.bias", "extra"])
def test_unexpected_key_is_named(key, save):
    tensors = published_weights(layout()) | {key: torch.zeros(1)}
    with pytest.raises(ValueError, match=f"looks like FSRCNN.*unexpected key '{key}'"):
        load_weights(fsrcnn(2, **SMALL), save(tensors))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("first_part.0.weight", torch.zeros(4), "cannot be read as such"),
        ("mid_part.0.weight", torch.zeros(3, 4, 1, 1), r"'shrink.conv.weight' has shape \(3, 4, 1, 1\)"),
        ("last_part.weight", torch.zeros(5, 1, 7, 7), r"'exit.weight' has shape \(5, 1, 7, 7\)"),
        ("mid_part.1000000000.weight", torch.zeros(1), "count to 1000000001"),
    ],
)
def test_damaged_tensors_are_refused(key, value, message, save):
    tensors = published_weights(layout()) | {key: value}
    with pytest.raises(ValueError, match=message):
        load_weights(fsrcnn(2, **SMALL), save(tensors))


def test_files_cut_short_and_of_other_networks_and_forms_are_refused(save):
    path = save(published_weights(layout()))
    with pytest.raises(ValueError, match="channels=5, but the network has channels=56"):
        load_weights(fsrcnn(2), path)
    with pytest.raises(ValueError, match="looks like FSRCNN"):
        load_weights(srcnn(), path)
    short = {key: value for key, value in published_weights(layout()).items() if not key.startswith("mid_part.1")}
    for middle in (4, 2):
        short = {key: value for key, value in short.items() if not key.startswith(f"mid_part.{middle}")}
        with pytest.raises(ValueError, match=r"looks like FSRCNN.*misses the key 'mid_part"):
            load_weights(fsrcnn(2, **SMALL), save(short))


def test_works_on_a_single_pixel_and_refuses_other_channels():
    assert fsrcnn(3, **SMALL)(torch.rand(1, 1, 1, 1)).shape == (1, 1, 3, 3)
    with pytest.raises(ValueError, match="1 channels, got shape"):
        fsrcnn(3, **SMALL)(torch.rand(1, 4, 5, 5))


@pytest.mark.parametrize("scale", [0, 1, 5, 2.0, "4", True, None, (2, 3)])
def test_refuses_scales_that_are_not_offered(scale):
    with pytest.raises(ValueError, match="scale must be one of 2, 3, 4, 8, got"):
        fsrcnn(scale)


@pytest.mark.parametrize("name", ["in_channels", "channels", "shrunk_channels", "blocks"])
def test_refuses_sizes_below_one(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        fsrcnn(2, **{name: 0})
    with pytest.raises(TypeError, match=f"{name} must be an integer"):
        fsrcnn(2, **{name: 4.0})
