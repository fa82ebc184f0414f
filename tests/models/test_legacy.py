import copyreg
import math
import pickle
import re
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models.published_mdf import as_published, assert_same, discriminators, without_sources, word, write_published
from torch import nn

from restorekit.models import SinGANDiscriminator, load_discriminators, save_discriminators

# The published files


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Write networks as the authors did and name the file."""
    return lambda content: write_published(content, tmp_path / "Ds.pth", monkeypatch)


def test_a_published_file_is_read(published):
    models = discriminators()
    assert_same(load_discriminators(published([as_published(model) for model in models])), models)


def test_a_published_network_gives_the_same_scores(published):
    network = as_published(*discriminators([5]))
    x = torch.rand(1, 3, 12, 13, generator=torch.Generator().manual_seed(1))
    expected = x
    for part in (network.head, *network.body.children()):
        expected = part.LeakyRelu(part.norm(part.conv(expected)))
    expected = network.tail(expected)
    [found] = load_discriminators(published([network]))
    assert torch.equal(found(x), expected)


def test_storages_of_a_gpu_come_to_the_cpu(published):
    models = discriminators()
    path = published([as_published(model) for model in models])
    data = path.read_bytes()
    assert data.count(word("cpu")) == 1
    path.write_bytes(data.replace(word("cpu"), word("cuda:0")))
    assert_same(load_discriminators(path), models)


def test_several_tensors_may_lie_in_one_storage(published):
    models = discriminators()
    network = as_published(models[0])
    joined = torch.cat([network.tail.bias.detach(), network.tail.weight.detach().flatten()])
    network.tail._parameters["bias"] = nn.Parameter(joined[:1], False)
    network.tail._parameters["weight"] = nn.Parameter(joined[1:].view(1, 4, 3, 3), False)
    assert_same(load_discriminators(published([network])), models[:1])


@pytest.mark.parametrize(("change", "message"), [
    (lambda n: setattr(n.tail, "stride", (2, 2)), r"a Conv2d with another stride than \(1, 1\)"),
    (lambda n: setattr(n.head.norm, "eps", 1e-4), "a BatchNorm2d with another eps than 1e-05"),
    (lambda n: setattr(n.body.block2.LeakyRelu, "negative_slope", 0.1), "negative_slope than 0.2"),
    (lambda n: setattr(n.head, "conv", nn.Identity()), "names 'torch.nn.modules.linear.Identity'"),
    (lambda n: setattr(n, "more", {1, 2}), "names '__builtin__.set'"),
    (lambda n: setattr(n, "tail", n.head), "'0.(head|tail)' is there twice or lies too deep"),
    (lambda n: n._modules.update(self=n), "'0.self' is there twice or lies too deep"),
    (lambda n: n.head.norm._buffers.update(weight=n.head.norm.bias.data), "holds '0.head.norm.weight' twice"),
    (lambda n: n.head._modules.update(x=nn.Sequential(nn.Sequential(nn.Sequential()))), "'0.head.x.0.0' .* too deep"),
    (lambda n: n.tail._parameters.update(bias=None), "first missing key '0.tail.bias'"),
    (lambda n: n.tail._parameters.update(extra=n.tail.weight), "its tensors share their storages"),
    (lambda n: n.tail._parameters.update(bias=3), "its 'bias' is no tensor"),
    (lambda n: n.tail.__dict__.pop("_buffers"), "a module without parts"),
    (lambda n: n.tail._parameters.update({"x" * 81: n.tail.bias}), "holds the name 'x{80}'[.]{3}[.]"),
    (lambda n: n.tail._parameters.update(bias=nn.Parameter(n.tail.weight.data[0, 0, :, 0])), "not stored row by row"),
    (lambda n: n.tail._parameters.update(bias=nn.Parameter(torch.zeros(1).expand(9))), "reaches beyond its storage"),
    (lambda n: n.tail._parameters.update(bias=nn.Parameter(torch.zeros(1).bfloat16())), "'torch.BFloat16Storage'"),
    (lambda n: n.tail._parameters.update(bias=nn.Parameter(torch.zeros(1, 1, 1, 1, 1))), "a tensor that is none"),
    (lambda n: n.tail._parameters.update(bias=nn.Parameter(torch.zeros(0))), "sizes that are none"),
    (lambda n: n.tail._parameters.update(bias=nn.Parameter(torch.full((1,), math.nan))), "'0.tail.bias' .* not finite"),
])  # fmt: skip
def test_published_networks_that_are_others_are_refused(published, change, message):
    network = as_published(*discriminators([4]))
    change(network)
    with pytest.raises(ValueError, match=message):
        load_discriminators(published([network]))


# Legacy files made by hand

HEADER = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001))
NUMBERS = (4).to_bytes(8, "little") + bytes(16)
SYSTEM = pickle.dumps({"protocol_version": 1001, "little_endian": True}, 2)


def number(value):
    return pickle.dumps(value, 2)[2:-1]


def sizes(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key="0", count=4, kind="FloatStorage", view=b"N"):
    return (
        b"(" + word("storage") + f"ctorch\n{kind}\n".encode() + word(key) + word("cpu") + number(count) + view + b"tQ"
    )


def tensor(stored=None, offset=0, shape=(4,), stride=(1,)):
    arguments = (stored or storage()) + number(offset) + sizes(shape) + sizes(stride) + b"\x89N"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def state(*values):
    """A list of one state dict with these under the names 0, 1, ..."""
    return b"\x80\x02]}(" + b"".join(word(str(i)) + value for i, value in enumerate(values)) + b"ua."


def legacy(body, keys=("0",), numbers=NUMBERS, system=SYSTEM):
    return HEADER + system + body + pickle.dumps(list(keys), 2) + numbers


def load(tmp_path, data):
    (tmp_path / "ds.pth").write_bytes(data)
    return load_discriminators(tmp_path / "ds.pth")


def refusal(tmp_path, data):
    """The message of the refusal, which no content of the file can make long or unprintable."""
    with pytest.raises(ValueError, match=r"ds\.pth") as caught:
        load(tmp_path, data)
    message = str(caught.value)
    assert len(message) < 1000
    assert message.isprintable()
    return message


def test_the_hand_made_file_is_one(tmp_path):
    """Refused for its layout alone, so that what follows is refused for the damage that it names."""
    assert "first unexpected key '0.0'" in refusal(tmp_path, legacy(state(tensor())))


@pytest.mark.parametrize(("data", "message"), [
    (legacy(state(tensor(offset=1))), "reaches beyond"),
    (legacy(state(tensor(offset=-1))), "sizes that are none"),
    (legacy(state(tensor(shape=(5,)))), "reaches beyond"),
    (legacy(state(tensor(shape=(-4,)))), "sizes that are none"),
    (legacy(state(tensor(shape=(0, 1 << 2000), stride=(1, 1)))), "sizes that are none"),
    (legacy(state(tensor(shape=(1 << 2000, 1 << 2000), stride=(1 << 2000, 1)))), "reaches beyond"),
    (legacy(state(tensor(stride=(0,)))), "row by row"),
    (legacy(state(tensor(stride=(-1,)))), "sizes that are none"),
    (legacy(state(tensor(shape=(2, 2), stride=(1, 2)))), "row by row"),
    (legacy(state(tensor(shape=(2, 2)))), "a tensor that is none"),
    (legacy(state(tensor(shape=(True,)))), "sizes that are none"),
    (legacy(state(tensor(shape=(4.0,)))), "sizes that are none"),
    (legacy(state(tensor(word("0")))), "a tensor that is none"),
    (legacy(state(tensor(), tensor())), "share their storages"),
    (legacy(state(tensor(storage(count=1 << 2000), shape=(1,)))), "cut off or of another size"),
    (legacy(state(tensor(storage(count=-4)))), "neither a module nor a storage"),
    (legacy(state(tensor(storage(view=b"K\x01")))), "neither a module nor a storage"),
    (legacy(state(tensor(storage(kind="LongStorage")))), "cut off or of another size"),
    (legacy(state(tensor(), tensor(storage(count=3), shape=(3,)))), "'0' twice and differently"),
    (legacy(state(tensor(storage(key="k" * 9999))), keys=["k" * 9999], numbers=b""), "'k{80}'... is cut off"),
    (legacy(state(tensor()), keys=[]), "list of storages"),
    (legacy(state(tensor()), keys=["0", "0"]), "list of storages"),
    (legacy(state(tensor()), keys=["1"]), "list of storages"),
    (legacy(state(tensor()), keys=[0]), "list of storages"),
    (legacy(state(tensor()), numbers=(5).to_bytes(8, "little") + bytes(20)), "another size"),
    (legacy(state(tensor()), numbers=(-1).to_bytes(8, "little", signed=True) + bytes(16)), "another size"),
    (legacy(state(tensor()), numbers=(4).to_bytes(8, "little") + bytes(17)), "goes on behind its end"),
    (legacy(state(tensor()), system=SYSTEM.replace(b"\x88", b"\x89")), "little-endian"),
    (legacy(state(tensor()), system=b"\x80\x02].") , "little-endian"),
    (legacy(b"\x80\x02]."), "no list of 1 to 64 networks"),
    (legacy(b"\x80\x02](" + 65 * b"}" + b"e."), "no list of 1 to 64 networks"),
    (legacy(b"\x80\x02}."), "no list of 1 to 64 networks"),
    (legacy(b"\x80\x02]Na."), "NoneType where a network belongs"),
    (legacy(b"\x80\x02]q\x00h\x00a."), "list where a network belongs"),
    (legacy(b"\x80\x02]}(K\x01K\x01ua."), "a dict with a key of int"),
    (legacy(b"\x80\x02]}(K\x01" + 99 * b"\x85" + b"Nua."), "a dict with a key of tuple"),
    (legacy(b"\x80\x02]}(" + word("a") + b"ua."), "zip"),
    (legacy(b"\x80\x02h\x07."), "its instructions are damaged"),
    (legacy(b"\x80\x02a."), "its instructions are damaged"),
    (legacy(b"\x80\x02t."), "its instructions are damaged"),
    (legacy(b"\x80\x02q\x00."), "its instructions are damaged"),
    (legacy(b"\x80\x02b."), "its instructions are damaged"),
    (legacy(b"\x80\x02."), "its instructions are damaged"),
    (legacy(b"\x80\x02NR."), "NoneType where tuple belongs"),
    (legacy(b"\x80\x02K\x01]Q."), "list where tuple belongs"),
    (legacy(b"\x80\x02}]b."), "list where dict belongs"),
    (legacy(b"\x80\x02]}b."), "list where dict belongs"),
    (legacy(b"\x80\x02cSinGAN.models\nConvBlock\n)\x81}b}b."), "attributes of a module twice"),
    (legacy(b"\x80\x02cSinGAN.models\nConvBlock\nK\x01\x85\x81."), "makes a SinGAN.models.ConvBlock with 1 arg"),
    (legacy(b"\x80\x02cSinGAN.models\nConvBlock\n)R."), "calls SinGAN.models.ConvBlock with 0 arguments"),
    (legacy(b"\x80\x02ccollections\nOrderedDict\n)\x81."), "makes a collections.OrderedDict with 0"),
    (legacy(b"\x80\x02ccollections\nOrderedDict\n]\x85R."), "calls collections.OrderedDict with 1"),
    (legacy(b"\x80\x02ctorch._utils\n_rebuild_parameter\nNNN\x87R."), "calls torch._utils._rebuild_parameter"),
    (legacy(b"\x80\x02c" + b"m" * 9999 + b"\nn\n."), "names 'm{80}'..., which it has no need of"),
    (legacy(b"\x80\x02c\xff\nn\n."), "'ascii' codec can't decode"),
    (legacy(b"\x80\x02F" + b"f" * 99_999 + b"\n."), "could not convert string to float: b'ffff"),
    (legacy(b"\x80\x02I" + b"9" * 99_999 + b"\n."), "Exceeds the limit"),
    (legacy(b"\x80\x02\x8b\xff\xff\xff\x7f."), "not enough|expected"),
    (legacy(b"\x80\x02\x8e" + b"\xff" * 8 + b"."), "bytes8 byte count"),
    (legacy(b"\x80\x022."), "the instruction DUP"),
    (legacy(b"\x80\x02(0."), "the instruction POP"),
    (legacy(b"\x80\x02" + b"N" * 500_001 + b"."), "more parts than any list"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_damage_is_named(tmp_path, data, message):
    assert re.search(message, refusal(tmp_path, data))


def test_bombs_go_off_nowhere(tmp_path):
    """What grows without bounds where it is walked, copied, hashed, compared, printed or given memory."""
    doubled = b"]" + b"".join(b"q%c]h%ch%c\x86a" % (i, i, i) for i in range(200))
    deep = b")" + b"\x85" * 60_000
    far = b"]r\xff\xff\xff\xff"
    for value in (doubled, deep, far, word("x" * 10**6), b"\x8a\xff" + b"\x7f" * 255):
        assert "is refused" in refusal(tmp_path, legacy(b"\x80\x02" + value + b"."))
        assert "is refused" in refusal(tmp_path, legacy(state(value)))
    names = [word(f"{i}") + b"h\x01" for i in range(5000)]
    many = legacy(b"\x80\x02]}(" + word("a") + tensor() + b"q\x01" + b"".join(names) + b"ua.")
    assert "more than 4096 tensors" in refusal(tmp_path, many)
    parts = b"}(" + word("_parameters") + b"h\x02" + word("_buffers") + b"}" + word("_modules") + b"}uq\x03"
    shared = b"\x80\x02}(" + word("a") + tensor() + b"q\x01" + b"".join(names[:500]) + b"uq\x02" + parts
    module = b"cSinGAN.models\nConvBlock\n)\x81h\x03b"
    assert "two of its modules share their parts" in refusal(tmp_path, legacy(shared + b"](" + module * 50 + b"e."))


def test_what_a_file_names_often_is_gone_through_once(tmp_path):
    """Else 100 kB take hours: one long key among the storages, one dict of many names in many modules."""
    keys = b"".join([word("k" * 10**6), b"q\x00", word("k" * 10**6 + "l"), b"q\x01", b"h\x00h\x01" * 999])
    stored = state(*[tensor(storage(key=str(i))) for i in range(2000)])
    assert "not that of its tensors" in refusal(tmp_path, HEADER + SYSTEM + stored + b"\x80\x02](" + keys + b"e.")

    def module(names):
        parts = [word("_parameters") + names, word("_buffers") + b"}", word("_modules") + b"}("]
        return b"cSinGAN.models\nConvBlock\n)\x81}(" + b"".join(parts)

    names = b"}(" + b"".join(word(f"{i}") + b"N" for i in range(2000)) + b"uq\x01"
    inside = b"".join(word(f"{i}") + module(b"h\x01") + b"uub" for i in range(2000))
    body = b"\x80\x02](" + module(names) + b"uub" + module(b"}") + inside + b"uube."
    assert "two of its modules share their parts" in refusal(tmp_path, legacy(body))


def test_a_file_larger_than_any_of_them_is_not_read(tmp_path):
    with (tmp_path / "ds.pth").open("wb") as file:
        file.write(HEADER)
        file.truncate(2**40)  # a hole: no disk is taken
    with pytest.raises(ValueError, match="has more than 67108864 bytes"):
        load_discriminators(tmp_path / "ds.pth")


# Files that would run code

EXTENSION = 240


@pytest.fixture
def canary(tmp_path):
    """A file that appears if anything of a stream runs."""
    return tmp_path / "canary"


def calls(canary):
    """Ways in which a stream can name a function and call it with an argument that makes the canary."""
    argument = word(f"open({str(canary)!r}, 'w').close()")
    short = b"\x8c\x08builtins\x8c\x04eval\x93"
    return {
        "GLOBAL": b"cbuiltins\neval\n" + argument + b"\x85R",
        "STACK_GLOBAL": short + argument + b"\x85R",
        "INST": b"(" + argument + b"ibuiltins\neval\n",
        "OBJ": b"(cbuiltins\neval\n" + argument + b"o",
        "EXT1": b"\x82" + bytes([EXTENSION]) + argument + b"\x85R",
        "EXT2": b"\x83" + EXTENSION.to_bytes(2, "little") + argument + b"\x85R",
        "EXT4": b"\x84" + EXTENSION.to_bytes(4, "little") + argument + b"\x85R",
        "partial": b"cfunctools\npartial\ncbuiltins\neval\n" + argument + b"\x86R)R",
        "NEWOBJ": b"cfunctools\npartial\ncbuiltins\neval\n" + argument + b"\x86\x81)R",
        "NEWOBJ_EX": b"cfunctools\npartial\ncbuiltins\neval\n" + argument + b"\x86}\x92)R",
        "memo": b"cbuiltins\neval\nq\x05" + b"0h\x05" + argument + b"\x85R",
    }


WAYS = sorted(calls("canary"))


@pytest.fixture
def extension():
    copyreg.add_extension("builtins", "eval", EXTENSION)
    yield
    copyreg.remove_extension("builtins", "eval", EXTENSION)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_in_a_file_runs(tmp_path, canary, extension, way):
    call = calls(canary)[way]
    pickle.loads(b"\x80\x04" + call + b".")
    assert canary.is_file()  # so it would run
    canary.unlink()
    inert = [tensor(), b"cSinGAN.models\nConvBlock\n)\x81", b"cSinGAN.models\nConvBlock\n"]
    bodies = [
        b"\x80\x04" + call + b".",
        state(call),
        state(tensor(), call),
        state(tensor(call)),
        b"\x80\x02](" + inert[1] + call + b"be.",
        b"\x80\x02](" + inert[1] + b"}" + word("_modules") + call + b"sbe.",
        b"\x80\x02](" + word("module") + call + b"NN" + b"tQ)\x81}be.",
        b"\x80\x02]" + call + b"Q.",
        b"\x80\x02](" + inert[2] + call + b"\x85\x81e.",
    ]
    files = [legacy(body) for body in bodies]
    files += [legacy(state(tensor()), system=b"\x80\x02" + call + b".")]
    files += [HEADER + SYSTEM + state(tensor()) + b"\x80\x02" + call + b"."]
    files += [b"\x80\x02" + call + b"." + HEADER + SYSTEM, HEADER[:18] + call + SYSTEM]
    for data in files:
        assert "is refused" in refusal(tmp_path, data) or "no readable" in refusal(tmp_path, data)
        assert not canary.exists()


@pytest.mark.parametrize("name", [
    "os system", "posix system", "nt system", "subprocess Popen", "subprocess check_output", "builtins eval",
    "builtins exec", "builtins getattr", "builtins __import__", "__builtin__ eval", "__builtin__ set", "torch load",
    "torch.hub load", "torch.jit load", "torch._utils _rebuild_tensor", "torch._utils _rebuild_device_tensor",
    "torch.storage _load_from_bytes", "torch BFloat16Storage", "torch.nn.modules.linear Linear",
    "collections namedtuple", "collections OrderedDict.fromkeys", "functools partial", "operator attrgetter",
    "copyreg _reconstructor", "copy_reg _reconstructor", "pickle loads", "pip main", "SinGAN.models os.system",
    "SinGAN.models __builtins__", "SinGAN.functions WDiscriminator", "SinGAN.models GeneratorConcatSkip2CleanAdd",
    "runpy run_path", "pty spawn",
])  # fmt: skip
def test_other_names_are_refused(tmp_path, name):
    module, attribute = name.split()
    for call in (b"", b")R", b")\x81", b"}b", word("true") + b"\x85R"):
        message = refusal(tmp_path, legacy(state(f"c{module}\n{attribute}\n".encode() + call)))
        assert f"names '{module}.{attribute}', which it has no need of" in message
    for number_of_pickle in (0, 2):  # those beside the object need no names at all
        streams = [SYSTEM, state(tensor()), pickle.dumps(["0"], 2)]
        streams[number_of_pickle] = b"\x80\x02ccollections\nOrderedDict\n)R."
        assert "names 'collections.OrderedDict'" in refusal(tmp_path, HEADER + b"".join(streams))


def test_modules_that_a_file_names_are_not_imported(tmp_path, published, monkeypatch):
    """A package of the names in the file, on the path, that would tell of its import."""
    (tmp_path / "SinGAN").mkdir()
    for name in ("__init__", "models"):
        (tmp_path / "SinGAN" / f"{name}.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    models = discriminators()
    assert_same(load_discriminators(published([as_published(model) for model in models])), models)
    assert "SinGAN" not in sys.modules


# Any bytes


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A published file of one small discriminator without source texts, and ours in both formats."""
    folder = tmp_path_factory.mktemp("small")
    model = discriminators([1])[0]
    with pytest.MonkeyPatch.context() as patch:
        network = write_published([as_published(model)], folder / "network.pth", patch)
        network.write_bytes(without_sources(network.read_bytes()))
    save_discriminators([model], folder / "ds.safetensors")
    torch.save([model.state_dict()], folder / "ds.pth")
    assert_same(load_discriminators(network), [model])
    return [path.read_bytes() for path in (network, folder / "ds.safetensors", folder / "ds.pth")]


def load_or_refuse(path, data):
    path.write_bytes(data)
    try:
        found = load_discriminators(path)
    except ValueError:
        return
    assert all(isinstance(model, SinGANDiscriminator) for model in found)


FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_truncated_files_are_refused(small, tmp_path):
    for data in small:
        for end in [*range(1, 40), *range(40, len(data), len(data) // 50), len(data) - 1]:
            with pytest.raises(ValueError, match=r"ds\.pth"):
                load(tmp_path, data[:end])


@FUZZ
@given(flips=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 255)), min_size=1, max_size=4), which=st.integers(0, 5))
def test_flipped_bytes_lead_to_nothing_else(small, tmp_path, flips, which):
    data = bytearray(small[which if which < 3 else 0])
    for place, flip in flips:
        data[int(place * (len(data) - 1))] ^= flip
    load_or_refuse(tmp_path / "ds.pth", bytes(data))


@FUZZ
@given(body=st.lists(st.sampled_from([
    b"(", b")", b"]", b"}", b"N", b"\x88", b"K\x01", b"K\x04", b"a", b"e", b"s", b"u", b"t", b"\x85", b"\x86", b"\x87",
    b"R", b"b", b"\x81", b"Q", b"q\x00", b"h\x00", b"q\x01", b"h\x01", word("0"), word("_modules"), word("storage"),
    b"ccollections\nOrderedDict\n", b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nFloatStorage\n",
    b"ctorch._utils\n_rebuild_parameter\n", b"cSinGAN.models\nConvBlock\n", tensor(), storage(),
]), max_size=30))  # fmt: skip
def test_any_instructions_lead_to_nothing_else(tmp_path, body):
    load_or_refuse(tmp_path / "ds.pth", legacy(b"\x80\x02]" + b"".join(body) + b"a."))
    load_or_refuse(tmp_path / "ds.pth", legacy(b"\x80\x02" + b"".join(body) + b"."))


@FUZZ
@given(data=st.binary(max_size=60))
def test_any_bytes_lead_to_nothing_else(tmp_path, data):
    for start in (b"", HEADER, HEADER + SYSTEM, b"PK\x03\x04", (40).to_bytes(8, "little") + b"{"):
        load_or_refuse(tmp_path / "ds.pth", start + data)
