import pytest
import torch

from restorekit.models import SinGANDiscriminator


@pytest.mark.parametrize(("channels", "parameters"), [(32, 29_185), (64, 113_665), (128, 448_513)])
def test_the_published_discriminators_have_these_parameters(channels, parameters):
    with torch.device("meta"):
        model = SinGANDiscriminator(channels=channels)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
