import hashlib

import pytest

from restorekit.models import download, download_trunk

CONTENT = b"what a server has" * 1000


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder that stands for the public address, and a file in it under its hash."""
    folder = tmp_path / "server"
    folder.mkdir()
    name = f"squeezenet1_1-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
    (folder / name).write_bytes(CONTENT)
    monkeypatch.setattr(download, "_ADDRESS", f"{folder.as_uri()}/")
    monkeypatch.setattr(download, "_FILES", {"squeezenet": (name, len(CONTENT) / 2**20)})
    return folder / name


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("progress", [True, False])
def test_the_file_arrives_under_its_name(server, home, capsys, progress):
    path = download_trunk("squeezenet", home, progress=progress)
    assert path == home / server.name
    assert path.read_bytes() == CONTENT
    assert (server.name in capsys.readouterr().err) is progress


def test_a_file_that_is_there_is_not_fetched_again(server, home):
    first = download_trunk("squeezenet", home, progress=False)
    server.unlink()
    assert download_trunk("squeezenet", str(home), progress=False) == first


def test_another_file_of_that_name_is_refused_and_left_alone(server, home):
    (home / server.name).write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"does not begin with .*; delete it to fetch it again"):
        download_trunk("squeezenet", home, progress=False)
    assert (home / server.name).read_bytes() == b"mine"


def test_wrong_content_is_not_kept(server, home):
    server.write_bytes(CONTENT[:-1] + b"!")
    with pytest.raises(ValueError, match=r"does not begin with .*; what was downloaded is not kept"):
        download_trunk("squeezenet", home, progress=False)
    assert list(home.iterdir()) == []


def test_too_large_content_is_given_up(server, home, monkeypatch):
    monkeypatch.setattr(download, "_CHUNK", 1000)
    read = []
    monkeypatch.setattr(download, "hashlib", type("Counting", (), {"sha256": lambda: Counter(read)}))
    server.write_bytes(bytes(10**6))
    with pytest.raises(ValueError, match="is larger than the 27485 bytes expected; it is not kept"):
        download_trunk("squeezenet", home, progress=False)
    assert sum(read) == 27000
    assert list(home.iterdir()) == []


class Counter:
    def __init__(self, read):
        self.read = read

    def update(self, chunk):
        self.read.append(len(chunk))


def test_an_address_out_of_reach_is_explained(server, home):
    server.unlink()
    with pytest.raises(OSError, match=r"could not download file://.*fetch it in another way and give its path"):
        download_trunk("squeezenet", home, progress=False)
    assert list(home.iterdir()) == []


def test_folder_and_name_are_checked_first(tmp_path):
    with pytest.raises(FileNotFoundError, match="none is no folder"):
        download_trunk("vgg19", tmp_path / "none")
    with pytest.raises(ValueError, match="alexnet, squeezenet, vgg16, vgg19, got 'vgg'"):
        download_trunk("vgg", tmp_path)


def test_the_published_files_say_their_hash():
    expected = {"alexnet": "7be5be79", "squeezenet": "b8a52dc0", "vgg16": "397923af", "vgg19": "dcbb9e9d"}
    found = {key: name.removesuffix(".pth").rpartition("-")[2] for key, (name, _) in download._FILES.items()}
    assert found == expected
    assert download._ADDRESS.startswith("https://")
