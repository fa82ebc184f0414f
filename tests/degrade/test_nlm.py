import numpy as np
import pytest
import torch
from skimage.restoration import denoise_nl_means

from restorekit.degrade import nlm_denoise


def pictures(n=2, channels=3, height=14, width=11, dtype=torch.float32):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", [{}, {"patch_size": 3, "patch_distance": 4, "fast_mode": False}])
def test_equals_skimage_bit_for_bit(channels, dtype, options):
    x = pictures(channels=channels, dtype=dtype)
    before = x.clone()
    levels = torch.tensor([0.04, 0.5], dtype=dtype)
    out = nlm_denoise(x, levels, **options)
    assert out.dtype == dtype
    assert torch.equal(x, before)
    for picture, result, level in zip(x, out, levels.tolist(), strict=True):
        theirs = denoise_nl_means(
            picture.permute(1, 2, 0).numpy(),
            **{"patch_size": 7, "patch_distance": 11, **options},
            h=level,
            channel_axis=-1,
        )
        np.testing.assert_array_equal(result.permute(1, 2, 0).numpy(), theirs.reshape(14, 11, channels))


def test_a_batch_is_its_pictures_and_more_smooths_more():
    x = pictures(3)
    levels = torch.tensor([0.01, 0.3, 0.9])
    out = nlm_denoise(x, levels)
    for i in range(3):
        assert torch.equal(out[i : i + 1], nlm_denoise(x[i : i + 1], levels[i : i + 1]))
    assert nlm_denoise(x, 0.9).std() < nlm_denoise(x, 0.3).std() < x.std()


def test_the_number_of_threads_changes_nothing():
    x = pictures(1, 3, 211, 307)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = nlm_denoise(x, 0.1, patch_size=3, patch_distance=1)
        torch.set_num_threads(2)
        assert torch.equal(nlm_denoise(x, 0.1, patch_size=3, patch_distance=1), alone)
    finally:
        torch.set_num_threads(threads)


def test_half_precision_and_no_graph():
    x = pictures(dtype=torch.bfloat16)
    out = nlm_denoise(x, 0.1)
    assert torch.equal(out, nlm_denoise(x.float(), 0.1).to(torch.bfloat16))
    assert not nlm_denoise(pictures().requires_grad_(), 0.1).requires_grad


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (3, 2)])
def test_small_pictures(height, width):
    x = torch.full((1, 3, height, width), 0.25)
    torch.testing.assert_close(nlm_denoise(x, 0.1), x)


def test_bad_arguments():
    x = pictures()
    for level in (0.0, 1.5):
        with pytest.raises(ValueError, match=r"\(0, 1\]"):
            nlm_denoise(x, level)
    with pytest.raises(ValueError, match="one for each of the 2 pictures"):
        nlm_denoise(x, torch.ones(3))
    with pytest.raises(ValueError, match="patch_size must be at least 1"):
        nlm_denoise(x, 0.1, patch_size=0)
    with pytest.raises(TypeError, match="patch_distance"):
        nlm_denoise(x, 0.1, patch_distance=1.5)
    with pytest.raises(TypeError, match="floating-point"):
        nlm_denoise(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), 0.1)
