"""Each rewrite on networks of a few layers, against the plain modules."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from rewriting import around, conv, fused, pictures, same, steps
from torch import nn

from restorekit.inference._rewrites import strips
from restorekit.inference._rewrites.pipeline import AsItIs, rewritten
from restorekit.inference._rewrites.shuffling import phases, unshuffled
from restorekit.layers import MeanShift, SConv2d, TemplateBank

# Convolutions

KINDS = st.fixed_dictionaries(
    {
        "size": st.sampled_from([1, 2, 3, 5]),
        "stride": st.sampled_from([1, 2]),
        "dilation": st.sampled_from([1, 2]),
        "groups": st.sampled_from([1, 2, 4]),
        "bias": st.booleans(),
    }
)


@given(KINDS, st.integers(0, 3))
def test_any_convolution(kind, padding):
    size = kind.pop("size")
    graph = same(around(lambda n, x: n.b(n.a(x)), a=conv(3), b=conv(4, 8, size, padding=padding, **kind)), [(9, 11)])
    assert steps(graph) == ["FusedConv2d"] * 2


@pytest.mark.parametrize("options", [{"padding_mode": "reflect"}, {"padding": "same"}, {"padding_mode": "circular"}])
def test_borders_that_are_no_zeros_stay(options):
    assert "Conv2d" in steps(same(around(lambda n, x: n.b(n.a(x)), a=conv(3), b=conv(**options)), [(9, 11)]))


def test_a_kernel_with_weight_norm_is_computed_once():
    normed = nn.utils.parametrizations.weight_norm(conv(3, 3))
    assert steps(same(around(lambda n, x: F.relu(n.a(x)), a=normed))) == ["FusedConv2d"]


def test_a_kernel_mixed_from_templates_is_computed_once():
    bank = TemplateBank(2, 4, 4, 3)
    layers = {"bank": bank, "b": SConv2d(bank, padding=1), "c": SConv2d(bank, padding=1)}
    model = around(lambda n, x: n.c(n.b(n.b(n.a(x)))), a=conv(3), **layers)
    graph = same(model)
    assert steps(graph) == ["FusedConv2d"] * 4
    assert fused(graph)[1].weight is fused(graph)[2].weight


def test_shared_layers_and_kernels_are_kept_once():
    def function(n, x):
        return n.c(F.relu(n.b(F.relu(n.b(n.a(x)))))) + 0

    model = around(function, a=conv(3), b=conv(), c=conv())
    model.c.weight = model.b.weight
    convs = fused(same(model))
    assert len({id(each.weight) for each in convs}) == 2
    assert [each.activation.name for each in convs] == ["none", "relu", "relu", "none"]


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = (self.weight - self.weight.mean((1, 2, 3), True)) / self.weight.std((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, padding=self.padding)


class Doubled(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return 2 * super()._conv_forward(x, weight, bias)


class Louder(nn.ReLU):
    def forward(self, x):
        return 3 * super().forward(x)


class Moved(nn.PixelShuffle):
    def forward(self, x):
        return super().forward(x.flip(1))


class Halved(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x) / 2


class Grown(nn.ConvTranspose2d):
    def forward(self, x, output_size=None):
        return super().forward(x) + 1


class Steeper(nn.PReLU):
    def forward(self, x):
        return super().forward(x) * 2


class Leakier(nn.LeakyReLU):
    def forward(self, x):
        return super().forward(x) * 2


SUBCLASSES = {
    "Standardised": (lambda: Standardised(4, 4, 3, padding=1), 1),
    "Doubled": (lambda: Doubled(4, 4, 3, padding=1), 1),
    "Louder": (Louder, 1),
    "Steeper": (Steeper, 1),
    "Leakier": (Leakier, 1),
    "Halved": (lambda: Halved(4), 1),
    "Moved": (lambda: nn.Sequential(conv(4, 16), Moved(2)), 2),
    "Grown": (lambda: Grown(4, 4, 2, stride=2), 2),
}


@pytest.mark.parametrize("name", SUBCLASSES)
def test_a_subclass_with_a_forward_of_its_own_keeps_it(name):
    build, scale = SUBCLASSES[name]
    same(around(lambda n, x: n.c(n.b(n.a(x))), scale=scale, a=conv(3), b=build(), c=conv(4, 3)))


def test_a_layer_whose_forward_was_replaced_keeps_it():
    model = around(lambda n, x: n.b(n.a(x)), a=conv(3), b=conv())
    plain = model.b.forward
    model.b.forward = lambda x: plain(x) + 1
    with torch.no_grad():
        x = pictures(model, 5, 6)
        assert torch.allclose(rewritten(model, 1, torch.float64)(x), model(x), rtol=0, atol=1e-12)


# Folding


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_batch_norm_becomes_part_of_the_convolution(affine, bias):
    model = around(lambda n, x: F.relu(n.b(n.a(x))), a=conv(3, bias=bias), b=nn.BatchNorm2d(4, affine=affine))
    assert steps(same(model)) == ["FusedConv2d"]


def test_batch_norm_stays_where_others_read_the_convolution():
    model = around(lambda n, x: n.b(y := n.a(x)) + y, a=conv(3), b=nn.BatchNorm2d(4))
    assert "BatchNorm2d" in steps(same(model))


def test_batch_norm_without_statistics_stays():
    model = around(lambda n, x: n.b(n.a(x)), a=conv(3), b=nn.BatchNorm2d(4, track_running_stats=False))
    assert steps(same(model, [(5, 7)])) == ["FusedConv2d", "BatchNorm2d"]


@pytest.mark.parametrize("swapped", [True, False])
def test_the_mean_colour_becomes_part_of_the_last_convolution(swapped):
    def function(n, x):
        y = n.a(x)
        return n.mean.shift + y if swapped else n.mean(y)

    model = around(function, a=conv(3, 3), mean=MeanShift((0.1, 0.2, 0.3), sign=1))
    assert steps(same(model)) == ["FusedConv2d"]


@pytest.mark.parametrize("shape", [(1,), (3, 1, 1, 1), (4,), (1, 1, 1, 4)])
def test_other_constants_are_added_as_before(shape):
    outputs = 3 if shape[0] == 3 else 4
    model = around(lambda n, x: n.a(x) + n.constant, a=conv(3, outputs))
    model.register_buffer("constant", torch.randn(shape, dtype=torch.float64))
    graph, x = rewritten(model, 1, torch.float64), pictures(model, 5, 4, batch=shape[0] if outputs == 3 else 2)
    with torch.no_grad():
        assert torch.allclose(graph(x), model(x), rtol=0, atol=1e-12)


# Activations and sums

ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "leaky": lambda: nn.LeakyReLU(0.1),
    "leaky in place": lambda: nn.LeakyReLU(0.1, inplace=True),
    "rising to both sides": lambda: nn.LeakyReLU(-0.5),
    "prelu": nn.PReLU,
}


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_an_activation_happens_in_the_convolution(activation):
    assert steps(same(around(lambda n, x: n.b(n.a(x)), a=conv(3), b=activation()))) == ["FusedConv2d"]


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_an_activation_goes_through_a_shuffle(activation):
    model = around(lambda n, x: n.b(F.pixel_shuffle(n.a(x), 2)), scale=2, a=conv(3, 12), b=activation())
    assert steps(same(model)) == ["FusedConv2d", "pixel_shuffle"]


@pytest.mark.parametrize("inplace", [True, False])
def test_an_activation_behind_a_shuffle_changes_nothing_that_others_read(inplace):
    def function(n, x):
        y = n.a(x)
        return F.relu(F.pixel_shuffle(y, 2), inplace=inplace) + y.mean() + F.pixel_shuffle(y, 2)

    same(around(function, scale=2, a=conv(3, 12)))


def test_an_activation_behind_a_shuffle_of_the_picture_leaves_the_picture():
    same(around(lambda n, x: n.a(F.relu_(F.pixel_shuffle(x, 2))), scale=2, channels=4, a=conv(1, 4)))


def test_a_prelu_of_each_channel_stays():
    assert "PReLU" in steps(same(around(lambda n, x: n.b(n.a(x)), a=conv(3), b=nn.PReLU(4))))


SUMS = {
    "plain": lambda y, c: c(y) + y,
    "swapped": lambda y, c: y + c(y),
    "add": lambda y, c: torch.add(y, c(y)),
    "times alpha": lambda y, c: torch.add(y, c(y), alpha=0.5),
    "alpha on the other": lambda y, c: torch.add(c(y), y, alpha=0.5),
    "method": lambda y, c: c(y).add(y),
    "in place": lambda y, c: c(y).add_(y),
    "in place times alpha": lambda y, c: c(y).add_(y, alpha=2),
    "activated": lambda y, c: F.relu(c(y) + y),
    "activated before": lambda y, c: F.relu(c(y)) + y,
    "activated twice": lambda y, c: F.leaky_relu(F.relu(c(y) + y) - 1, 0.2),
    "read later": lambda y, c: (c(y) + y) * y,
    "read later by a convolution": lambda y, c: c(c(y) + y) + y,
    "twice the same": lambda y, c: (z := c(y)) + z,
    "with itself": lambda y, c: c(y + y),
    "two at once": lambda y, c: c(y) + c(F.relu(y)),
    "a number": lambda y, c: c(y) + 1,
    "an average": lambda y, c: c(y) + y.mean((2, 3), keepdim=True),
    "three": lambda y, c: c(y) + y + c(c(y)),
    "a chain": lambda y, c: c(c(y) + y) + (c(y) + y),
}


@pytest.mark.parametrize("function", SUMS.values(), ids=SUMS)
def test_sums(function):
    same(around(lambda n, x: function(n.a(x), n.b), a=conv(3), b=conv()))


def test_a_sum_happens_in_the_convolution_and_in_the_memory_of_its_other_part():
    graph = same(around(lambda n, x: F.relu(n.b(F.relu(y := n.a(x))) + y), a=conv(3), b=conv()))
    assert steps(graph).count("FusedConv2d") == 2
    last = fused(graph)[-1]
    assert last.activation.name == "relu"
    assert last.overwrites


ALIASES = {
    "identity": nn.Identity(),
    "dropout": nn.Dropout(),
    "flatten": nn.Unflatten(1, (2, 2)),
    "chunk": lambda y: y.chunk(2, 1)[1],
    "slice": lambda y: y[:, 1:],
    "contiguous": lambda y: y.contiguous(),
    "to": lambda y: y.to(torch.float64) if y.dtype == torch.float64 else y,
    "permute": lambda y: y.permute(0, 1, 3, 2),
    "shuffle by 1": lambda y: F.pixel_shuffle(y, 1),
}


@pytest.mark.parametrize("alias", ALIASES.values(), ids=ALIASES)
def test_a_sum_is_not_written_where_another_name_reads(alias):
    def function(n, x):
        y = n.a(x)
        other = n.alias(y) if isinstance(n.alias, nn.Module) else alias(y)
        return (n.b(F.relu(y)) + y) + other.sum((1, 2, 3) if other.ndim == 4 else (1, 2, 3, 4)).view(-1, 1, 1, 1)

    same(around(function, a=conv(3), b=conv(), alias=alias))


def test_a_sum_is_not_written_where_the_convolution_reads_by_another_name():
    graph = same(around(lambda n, x: n.b(n.alias(y := n.a(x))) + y, a=conv(3), b=conv(), alias=nn.Identity()))
    assert not fused(graph)[-1].overwrites


# Writing into values


def _both(y):
    z = F.relu(y, inplace=True)
    return y + z


def _forgotten(y):
    F.relu_(y)
    return y + 1


def _later(c):
    def function(y):
        z = c(y)
        return z + F.relu_(y)

    return function


def _grown(c):
    def function(y):
        y += c(y)
        y *= 2
        y -= 1
        y /= 3
        return y

    return function


def _other_name(y):
    z = y
    z += 1
    return y + z


def _view(y):
    z = y[:, 2:]
    z.relu_()
    return y


def _view_alone(y):
    return y[:, 2:].relu_()


WRITES = {"both": _both, "forgotten": _forgotten, "other name": _other_name, "view": _view, "view alone": _view_alone}


@pytest.mark.parametrize("function", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("of_the_picture", [True, False])
def test_values_that_are_written_into(function, of_the_picture):
    if of_the_picture:
        model = around(lambda n, x: n.a(function(x)), a=conv(1 if function is _view_alone else 3))
        x = pictures(model, 5, 4)
        with torch.no_grad():
            assert torch.allclose(rewritten(model, 1, torch.float64)(x.clone()), model(x), rtol=0, atol=1e-12)
    else:
        same(around(lambda n, x: function(n.a(x)), a=conv(3)))


@pytest.mark.parametrize("function", [_later, _grown])
def test_values_that_a_convolution_reads_before_they_are_written_into(function):
    graph = same(around(lambda n, x: function(n.b)(n.a(x)), a=conv(3), b=conv()))
    assert not isinstance(graph, AsItIs)


def test_a_layer_in_place_that_alone_reads_a_value_stays_in_place():
    model = around(lambda n, x: F.hardtanh_(n.a(x).sigmoid(), 0.4, 0.6), a=conv(3))
    assert "hardtanh_" in steps(same(model))


def test_results_written_elsewhere_are_not_followed():
    def function(n, x):
        y = n.a(x)
        torch.add(y, 1, out=y)
        return y

    assert isinstance(same(around(function, a=conv(3))), AsItIs)


# Concatenations


@pytest.mark.parametrize("bias", [True, False])
def test_a_concatenation_is_not_made(bias):
    def function(n, x):
        y = n.a(x)
        return F.relu(n.c(torch.cat([y, n.b(y), y], dim=1)))

    graph = same(around(function, a=conv(3), b=conv(), c=conv(12, 5, 1, bias=bias)))
    assert set(steps(graph)) == {"FusedConv2d"}
    assert [each.overwrites for each in fused(graph)[-3:]] == [False, True, True]


def test_nested_and_shared_concatenations_are_not_made():
    def function(n, x):
        y = n.a(x)
        both = torch.cat((y, n.b(y)), 1)
        more = torch.concat([both, n.b(n.c(both))], dim=1)
        return n.d(more) + n.e(more)

    model = around(function, a=conv(3), b=conv(), c=conv(8, 4, 1), d=conv(12, 4, 1), e=conv(12, 4, 1))
    assert set(steps(same(model))) == {"FusedConv2d", "add"}


CONCATENATIONS = {
    "3x3": lambda n, y: n.d(torch.cat([y, n.b(y)], 1)),
    "strided": lambda n, y: n.s(torch.cat([y, n.b(y)], 1)),
    "read otherwise": lambda n, y: n.c(z := torch.cat([y, n.b(y)], 1)) + z.mean(),
    "of rows": lambda n, y: n.e(torch.cat([y, n.b(y)], 2)),
    "of chunks": lambda n, y: n.c(torch.cat(torch.chunk(torch.cat([y, y + 1], 1), 2, 1), 1)),
    "part read elsewhere": lambda n, y: n.c(torch.cat([z := torch.cat([y], 1), n.b(y)], 1)) + z,
    "with a constant": lambda n, y: n.c(torch.cat([y, torch.ones_like(y)], 1)),
}


@pytest.mark.parametrize("function", CONCATENATIONS.values(), ids=CONCATENATIONS)
def test_other_concatenations(function):
    layers = {"b": conv(), "c": conv(8, 4, 1), "d": conv(8), "e": conv(4, 4, 1), "s": conv(8, 4, 1, stride=2)}
    same(around(lambda n, x: function(n, n.a(x)), a=conv(3), **layers))


# Shuffles


@given(st.integers(2, 4), st.sampled_from([1, 3, 5, 7, 9]), st.integers(1, 4), st.booleans())
def test_a_narrow_convolution_moves_in_front_of_the_shuffle(factor, size, outputs, bias):
    last = conv(2, outputs, size, bias=bias)
    model = around(
        lambda n, x: F.leaky_relu(n.b(F.pixel_shuffle(n.a(x).relu(), factor))),  # a linear chain would be one kernel
        scale=factor,
        a=conv(3, 2 * factor**2),
        b=last,
    )
    graph = same(model, [(3, 5)])
    assert [step for step in steps(graph) if step != "leaky_relu"] == ["FusedConv2d"] * 2 + ["pixel_shuffle"]


def test_the_moved_kernel_by_hand():
    kernel = torch.arange(9.0).view(1, 1, 3, 3)
    # Output pixel (0, 0) of a square reads its own four pixels, and of the squares above and to the left their last.
    found = unshuffled(kernel, 2)[0]
    assert found[:, 1, 1].tolist() == [4, 5, 7, 8]
    assert found[:, 0, 1].tolist() == [0, 0, 1, 2]
    assert found[:, 0, 0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "last", [conv(3, 5), conv(3, 3, 2), conv(3, 3, stride=2), conv(3, 3, groups=3), conv(3, 3, 3, padding=0)]
)
def test_other_convolutions_stay_behind_the_shuffle(last):
    model = around(lambda n, x: n.b(n.shuffle(n.a(x))), scale=2, a=conv(3, 12), b=last, shuffle=nn.PixelShuffle(2))
    graph = rewritten(model, 2, torch.float64)
    assert steps(graph)[-1] == "FusedConv2d"
    x = pictures(model, 6, 7)
    with torch.no_grad():
        assert torch.allclose(graph(x), model.b(model.shuffle(model.a(x))), rtol=0, atol=1e-12)


def test_a_shuffle_that_others_read_stays():
    model = around(
        lambda n, x: n.b(y := F.pixel_shuffle(n.a(x), 2)) + y.mean(1, keepdim=True), scale=2, a=conv(3, 12), b=conv(3)
    )
    assert "pixel_shuffle" in steps(same(model))


@given(st.integers(1, 4), st.integers(1, 9), st.integers(0, 4), st.integers(0, 3), st.booleans())
def test_transposed_convolutions(stride, size, padding, extra, bias):
    if extra >= stride or padding >= size or (size - 2 * padding + extra) < 1:
        return
    layer = nn.ConvTranspose2d(4, 2, size, stride, padding, extra, bias=bias)
    model = around(lambda n, x: F.relu(n.b(n.a(x))), scale=stride, a=conv(3), b=layer)
    graph, x = rewritten(model, stride, torch.float64), pictures(model, 5, 7)
    with torch.no_grad():
        expected, found = model(x), graph(x)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    assert ("ConvTranspose2d" in steps(graph)) == (size - 2 * padding + extra != stride)


def test_transposed_kernels_by_hand():
    kernel = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert phases(kernel, 2, 0).flatten().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("layer", [{"groups": 2}, {"dilation": 2}, {"kernel_size": (2, 4), "padding": (0, 1)}])
def test_other_transposed_convolutions_stay(layer):
    options = {"kernel_size": 2, "stride": 2, **layer}
    model = around(lambda n, x: n.b(n.a(x)), scale=2, a=conv(3), b=nn.ConvTranspose2d(4, 4, **options))
    graph, x = rewritten(model, 2, torch.float64), pictures(model, 5, 7)
    with torch.no_grad():
        assert torch.allclose(graph(x), model(x), rtol=0, atol=1e-12)
    assert "ConvTranspose2d" in steps(graph)


# Strips

TAILS = {
    "x2": (2, lambda n, y: n.last(F.pixel_shuffle(n.up(y), 2))),
    "x4": (4, lambda n, y: n.last(F.pixel_shuffle(n.up(F.pixel_shuffle(n.up(y), 2)), 2))),
    "x4 with features between": (4, lambda n, y: n.wide(F.pixel_shuffle(n.up(n.mid(F.pixel_shuffle(n.up(y), 2))), 2))),
    "sum with an enlarged picture": (
        2,
        lambda n, y: n.last(F.pixel_shuffle(n.up(y), 2)) + F.interpolate(y[:, :3], scale_factor=2),
    ),
    "bilinear": (2, lambda n, y: n.wide(F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False))),
    "bilinear to the corners": (
        2,
        lambda n, y: n.wide(F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)),
    ),
    "bicubic": (2, lambda n, y: n.wide(F.interpolate(y, scale_factor=2, mode="bicubic"))),
    "bicubic by position": (2, lambda n, y: n.wide(F.interpolate(y, None, 2, "bicubic"))),
    "nearest by halves": (3, lambda n, y: n.wide(F.interpolate(F.interpolate(y, scale_factor=1.5), scale_factor=2))),
    "transposed": (2, lambda n, y: n.wide(n.transposed(y))),
    "gate of the whole picture": (2, lambda n, y: n.wide(F.pixel_shuffle(n.up(y), 2).mul(y.mean((2, 3), True)))),
    "average within": (2, lambda n, y: n.wide((z := F.pixel_shuffle(n.up(y), 2)) + z.mean((2, 3), True))),
    "no border": (2, lambda n, y: n.narrow(F.pad(n.narrow(F.pixel_shuffle(n.up(y), 2)), (2, 2, 2, 2)))),
    "dilated": (2, lambda n, y: n.dilated(F.relu(F.pixel_shuffle(n.up(y), 2)))),
    "with a skip": (2, lambda n, y: n.wide(n.mid(z := F.relu(F.pixel_shuffle(n.up(y), 2))) + z)),
}  # fmt: skip


@pytest.mark.parametrize(("scale", "tail"), TAILS.values(), ids=TAILS)
def test_the_end_in_strips_is_the_end_in_one_piece(scale, tail, monkeypatch):
    monkeypatch.setattr(strips, "STRIP_MEMORY", 1)
    monkeypatch.setattr(strips, "_LEAST_ROWS", 3)
    layers = {
        "up": conv(4, 16),
        "mid": conv(),
        "last": conv(4, 3),
        "wide": conv(4, 5),
        "narrow": conv(4, 4, padding=0),
        "dilated": conv(4, 5, dilation=2, padding=2),
        "transposed": nn.ConvTranspose2d(4, 4, 3, 2, 1, 1),
    }
    model = around(lambda n, x: tail(n, F.relu(n.a(x))), scale=scale, a=conv(3), **layers)
    same(model, [(2, 2), (7, 6), (16, 5), (20, 5)])


CHAINS = {"shuffled": (40,), "narrowed": (40, 12), "narrowed twice": (40, 20, 12)}


@pytest.mark.parametrize("channels", CHAINS.values(), ids=CHAINS)
def test_the_widest_features_are_in_strips_however_far_in_front_of_the_shuffle(channels, monkeypatch):
    def function(n, x):
        return F.pixel_shuffle(n.chain(F.relu(n.a(x))), 2)

    monkeypatch.setattr(strips, "STRIP_MEMORY", 1)
    monkeypatch.setattr(strips, "_LEAST_ROWS", 3)
    pairs = itertools.pairwise((4, *channels))
    chain = nn.Sequential(*(nn.Sequential(conv(*pair), nn.LeakyReLU(0.1)) for pair in pairs))
    graph = same(around(function, scale=2, a=conv(3), chain=chain), [(2, 2), (7, 6), (20, 5)])
    assert graph.meta["widest"] == channels[-1]  # values of the result


def test_a_chain_too_long_for_strips_is_cut_behind_its_widest_features():
    chain = nn.Sequential(*(nn.Sequential(conv(20 - i, 19 - i, 5), nn.LeakyReLU(0.1)) for i in range(8)))
    model = around(lambda n, x: F.pixel_shuffle(n.chain(F.relu(n.a(x))), 2), scale=2, a=conv(3, 20), chain=chain)
    graph = same(model, [(20, 5)])
    assert sum(isinstance(module, strips.Strips) for module in graph.modules()) == 1


def test_a_sum_is_not_written_where_a_strip_reads():
    def function(n, x):
        y = F.relu(n.a(x))
        z = F.pixel_shuffle(n.up(y), 2)
        other = n.b(F.relu(n.c(x))) + y
        return F.relu(z) + F.interpolate(other, scale_factor=2)

    layers = {"a": conv(3), "b": conv(), "c": conv(3), "up": conv(4, 16)}
    graph = same(around(function, scale=2, **layers), [(7, 6)])
    assert any(isinstance(module, strips.Strips) for module in graph.modules())


def test_networks_without_enlargement_have_no_strips():
    model = around(lambda n, x: n.b(F.relu(n.a(x))), a=conv(3), b=conv())
    assert not any(isinstance(module, strips.Strips) for module in same(model).modules())


def test_rows_of_a_strip_fit_the_memory():
    tail = strips.Strips(nn.Identity(), halo=2, ratios=[1], elements=10, channels=1, scale=1, dtype=torch.float32)
    assert 10 * (tail.rows(1000) + 2 * 2) * 1000 <= strips.STRIP_MEMORY < 10 * (tail.rows(1000) + 2 * 2 + 1) * 1000
    assert tail.rows(10**9) == 8


# Precision


def narrowed(model, dtype=torch.bfloat16):
    return rewritten(copy.deepcopy(model).float(), model.scale, dtype)


def test_features_are_narrow_and_pictures_are_not():
    model = around(lambda n, x: n.a(x) + x * 3, a=conv(3, 3))
    nn.init.zeros_(model.a.weight)
    nn.init.zeros_(model.a.bias)
    x = pictures(model, 6, 5).float()
    graph = narrowed(model)
    assert {p.dtype for p in graph.parameters()} == {torch.bfloat16}
    assert torch.equal(graph(x), x * 3)


def test_integers_stay_integers():
    model = around(lambda n, x: n.b(n.a(x)[:, n.order]), a=conv(3), b=conv())
    model.register_buffer("order", torch.tensor([3, 1, 0, 2]))
    same(model)
    x = pictures(model, 6, 5).float()
    with torch.no_grad():
        assert torch.allclose(narrowed(model)(x), model.float()(x), atol=0.05)


class Own(nn.Module):
    """Looks at its input, so that it is not followed, and makes a tensor of its own type."""

    def __init__(self):
        super().__init__()
        self.a = conv()

    def forward(self, x):
        count, _, height, width = x.shape
        return self.a(x + torch.linspace(0, 1, width).expand(count, 4, height, width))


def test_a_layer_with_a_type_of_its_own_runs_under_autocast():
    model = around(lambda n, x: n.b(n.a(x)), a=conv(3), b=Own()).float()
    graph, x = narrowed(model), pictures(model, 6, 5).float()
    assert isinstance(graph, AsItIs)
    with torch.no_grad():
        assert torch.allclose(graph(x), model(x), atol=0.05)
        assert torch.allclose(rewritten(model, 1, torch.float32)(x), model(x), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_network_in_float64_computes_in_less(dtype):
    def function(n, x):
        return n.a(x) if x.sum() > 0 else n.a(-x)

    for model in (around(function, a=conv(3)), around(lambda n, x: n.a(x), a=conv(3))):
        graph, x = rewritten(model, 1, dtype), pictures(model, 6, 5)
        out = graph(x)
        assert out.dtype == torch.float64
        assert torch.allclose(out, model(x), atol=1e-6 if dtype == torch.float32 else 0.05)
        assert not torch.allclose(out, model(x), atol=1e-12)


# Tracing


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = conv(), conv()

    def forward(self, x):
        return self.a(x) if x.mean() > 0 else self.b(x)


def test_a_network_that_looks_at_the_picture_runs_as_it_is():
    assert isinstance(same(around(lambda n, x: n.b(F.relu(n.a(x))), a=conv(3), b=Branching())), AsItIs)


def test_what_another_runtime_narrows_is_not_narrowed_here():
    for function in (lambda n, x: n.b(n.a(x)), lambda n, x: n.a(x) if x.sum() < 9 else x):
        model = around(function, a=conv(3), b=conv()).float()
        graph = rewritten(model, 1, torch.bfloat16, cast=False)
        assert {p.dtype for p in graph.parameters()} == {torch.float32}
        x = pictures(model, 5, 4).float() - 9
        with torch.no_grad():
            assert torch.allclose(graph(x), model(x), rtol=0, atol=1e-4)


class Sized(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = conv()

    def forward(self, x):
        return self.a(x) if max(x.shape) > 7 else x


def test_a_part_that_looks_at_the_size_is_one_step():
    model = around(lambda n, x: n.b(F.relu(n.a(x))), a=conv(3), b=Sized())
    assert steps(same(model)) == ["FusedConv2d", "Sized"]


class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.factors = nn.ParameterList([torch.randn(4, 1, 1) for _ in range(2)])
        self.layers = nn.ModuleDict({"a": conv(), "b": conv()})

    def forward(self, x):
        for factor, layer in zip(self.factors, self.layers.values(), strict=True):
            x = layer(x) * factor
        return x


def test_lists_are_followed():
    graph = same(around(lambda n, x: n.b(n.a(x)), a=conv(3), b=Listed()))
    assert steps(graph) == ["FusedConv2d", "FusedConv2d", "mul", "FusedConv2d", "mul"]


def test_a_name_like_those_of_the_rewriting_is_no_trouble():
    class Clash(nn.Module):
        def __init__(self):
            super().__init__()
            for name in ("run_1", "run_2", "rewritten_3", "constant_9", "strips"):
                setattr(self, name, conv())

        def forward(self, x):
            for layer in (*self.children(), *self.children()):
                x = F.relu(layer(x)) + x
            return x

    same(around(lambda n, x: n.b(n.a(x)), a=conv(3), b=Clash()))


def test_an_error_of_the_network_itself_is_passed_on():
    def function(n, x):
        raise RuntimeError("broken")

    model = around(function, a=conv(3))
    with pytest.raises(RuntimeError, match="broken"):
        rewritten(model, 1, torch.float64)(pictures(model, 2, 2))


def test_kernels_that_are_not_finite_are_not_fused():
    model = around(lambda n, x: F.relu(n.a(x)), a=nn.utils.parametrizations.weight_norm(conv(3)))
    with torch.no_grad():
        model.a.parametrizations.weight.original1.zero_()  # of length 0, so divided by 0
        graph = rewritten(model, 1, torch.float64)
        assert isinstance(graph, AsItIs)
        assert graph(pictures(model, 2, 2)).isnan().all()
