import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

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


class Answers(BaseHTTPRequestHandler):
    """Answers for one path each: sent on elsewhere, and a connection that ends early."""

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.startswith("/on/"):
            self.send_response(302)
            self.send_header("Location", self.server.elsewhere)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path.startswith("/early/"):
            self.wfile.write(CONTENT[:100])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def web(server, monkeypatch):
    """A web server on this machine."""
    monkeypatch.setenv("no_proxy", "*")
    with HTTPServer(("127.0.0.1", 0), Answers) as web:
        web.address, web.asked = f"http://127.0.0.1:{web.server_port}", []
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield web
        web.shutdown()
        thread.join()


@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_nobody_is_sent_on_to_where_nothing_is_encrypted(web, home, monkeypatch, scheme):
    web.elsewhere = web.address.replace("http", scheme) + "/file"
    monkeypatch.setattr(download, "_ADDRESS", f"{web.address}/on/")
    with pytest.raises(OSError, match=f"could not download .*sent on to {web.elsewhere}, which is not encrypted"):
        download_trunk("squeezenet", home, progress=False)
    assert [path[:4] for path in web.asked] == ["/on/"]
    assert list(home.iterdir()) == []


def test_a_connection_that_ends_early_leaves_nothing(web, home, monkeypatch):
    monkeypatch.setattr(download, "_ADDRESS", f"{web.address}/early/")
    with pytest.raises(OSError, match=f"could not download .*it ended after 100 of {len(CONTENT)} bytes"):
        download_trunk("squeezenet", home, progress=False)
    assert list(home.iterdir()) == []


def test_an_interrupt_leaves_nothing(server, home, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(download.tqdm, "update", interrupt)
    with pytest.raises(KeyboardInterrupt):
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
