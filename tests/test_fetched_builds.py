"""What a worker installs is the content that was named, fetched once for the machine, whatever happens on the way."""

import asyncio
import hashlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import obstore
import pytest
from processes import CHECKOUT

from qgjob.children import wait_until
from qgjob.store import open_store
from worker import builds
from worker.batch import Artifact, Blame, PrepareError
from worker.builds import fetch, fetch_from
from worker.object_store import ObjectStore

APK = b"PK\x03\x04" + random.Random(1).randbytes(3_000_000)
SHA = hashlib.sha256(APK).hexdigest()
PROGRAM = """
import asyncio, sys
from worker.batch import Artifact
from worker.builds import fetch
print(asyncio.run(fetch(Artifact(sys.argv[1], sys.argv[2]))))
"""


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of builds."""
    monkeypatch.setenv("QGJOB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("QGJOB_STORE_URL", (tmp_path / "store").as_uri())
    monkeypatch.setenv("QGJOB_BUILD_HOSTS", "other.example, 127.0.0.1")
    monkeypatch.setattr(builds, "ASK_AGAIN_S", (0.1, 0.1))
    fetch_from(ObjectStore())
    return tmp_path / "cache" / "builds"


class Server:
    """Serves the build at any path but these; counts what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                name = self.path.partition("?")[0]
                if name == "/second-time.apk" and len(server.asked) == 1:
                    self.send_error(502)
                    return
                if name.startswith("/status-"):
                    self.send_error(int(name[-3:]))
                    return
                if name in ("/loop", "/to-metadata", "/to-file", "/once"):
                    to = {"/loop": "/loop", "/once": "/app.apk", "/to-metadata": "http://169.254.169.254/x"}
                    self.send_response(302)
                    self.send_header("Location", to.get(name, "file:///etc/passwd"))
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(APK)))
                self.end_headers()
                self.wfile.write(APK[:1000])
                server.go_on.wait(30)
                if name != "/breaks-off.apk":
                    self.wfile.write(APK[1000:])

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "Server":
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def fetched(url: str, sha256: str = SHA) -> Path:
    return asyncio.run(fetch(Artifact(url, sha256)))


@contextmanager
def refused(blame: Blame, words: str) -> Iterator[None]:
    with pytest.raises(PrepareError) as error:
        yield
    assert (error.value.blame, words in str(error.value)) == (blame, True), (error.value.blame, str(error.value))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*") if path.suffix != ".lock")


def test_a_build_comes_from_the_store_from_http_and_from_a_file(server: Server, settings: Path, tmp_path: Path) -> None:
    obstore.put(open_store(), f"builds/acme/{SHA}.apk", APK)
    (tmp_path / "my app.ipa").write_bytes(APK)
    for url, suffix in (
        (f"builds/acme/{SHA}.apk", ".apk"),
        (f"{server.url}/once?signature=x", ".app"),
        ((tmp_path / "my app.ipa").as_uri(), ".ipa"),
        (str(tmp_path / "my app.ipa"), ".ipa"),
    ):
        path = fetched(url)
        assert (path.read_bytes() == APK, path.suffix) == (True, suffix)
    assert left(settings) == [f"{SHA}.apk", f"{SHA}.app", f"{SHA}.ipa"]


def test_the_wrong_content_is_never_visible(server: Server, settings: Path) -> None:
    with refused("app", "is not the one that was added to the build"):
        fetched(f"{server.url}/app.apk?signature=secret", "0" * 64)
    assert left(settings) == []


@pytest.mark.parametrize(
    ("path", "blame", "words"),
    [
        ("/status-404?signature=secret", "app", "HTTP 404"),
        ("/status-503", "source", "HTTP 503"),
        ("/loop", "app", "more than 5 redirects"),
        ("/to-file", "app", "not http(s)"),
        ("/to-metadata", "source", "not at a public address (169.254.169.254)"),
        ("/breaks-off.apk", "source", "cannot be fetched"),
    ],
)
def test_what_cannot_be_fetched_is_told_by_whose_fault(
    server: Server, settings: Path, path: str, blame: Blame, words: str
) -> None:
    with refused(blame, words):
        fetched(server.url + path)
    assert left(settings) == []


def test_where_nobody_answers_it_is_asked_again_before_that_is_a_loss(server: Server) -> None:
    assert fetched(f"{server.url}/second-time.apk").read_bytes() == APK
    with refused("source", "HTTP 503"):
        fetched(f"{server.url}/status-503")
    with refused("app", "HTTP 404"):
        fetched(f"{server.url}/status-404")
    assert server.asked == ["/second-time.apk"] * 2 + ["/status-503"] * 3 + ["/status-404"]


def test_a_message_holds_no_secret_of_a_url(server: Server) -> None:
    with pytest.raises(PrepareError) as error:
        fetched(f"{server.url}/status-403?signature=secret")
    assert "secret" not in str(error.value)
    assert f"{server.url}/status-403" in str(error.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "0.0.0.0", "2130706433"]
)
def test_addresses_that_are_not_public_are_asked_only_where_they_are_listed(
    server: Server, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("QGJOB_BUILD_HOSTS", "")
    with refused("source", "QGJOB_BUILD_HOSTS"):
        fetched(f"http://{host}:{server.url.rpartition(':')[2]}/app.apk")
    assert server.asked == []


@pytest.mark.parametrize(
    ("url", "blame", "words"),
    [
        (f"builds/acme/{SHA}.apk", "source", "or give this worker the QGJOB_STORE_URL that the API has"),
        ("bs://c700ce60cf13", "app", "only its provider's devices"),
        ("file:///nowhere/app.apk", "source", "not in a folder that this worker installs from (QGJOB_BUILD_FOLDER)"),
        ("file:///proc/self/environ", "source", "QGJOB_BUILD_FOLDER"),
        ("http://127.0.0.1:9/app.apk", "source", "cannot be fetched"),
    ],
)
def test_what_is_not_there_is_told_in_words(url: str, blame: Blame, words: str) -> None:
    with refused(blame, words):
        fetched(url)


def test_files_are_read_in_the_folder_for_builds_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "builds"
    folder.mkdir()
    (folder / "app.apk").write_bytes(APK)
    (tmp_path / "other.apk").write_bytes(APK)
    (folder / "link.apk").symlink_to(tmp_path / "other.apk")
    monkeypatch.setenv("QGJOB_BUILD_FOLDER", str(folder))
    for outside in ("other.apk", "builds/../other.apk", "builds/link.apk"):
        with refused("source", "QGJOB_BUILD_FOLDER"):
            fetched(f"file://{tmp_path}/{outside}")
    with refused("source", "There is no file"):
        fetched((folder / "none.apk").as_uri())
    monkeypatch.delenv("QGJOB_BUILD_FOLDER")
    with refused("source", "QGJOB_BUILD_FOLDER"):
        fetched((folder / "app.apk").as_uri())
    monkeypatch.setenv("QGJOB_BUILD_FOLDER", str(folder))
    assert fetched((folder / "app.apk").as_uri()).read_bytes() == APK


def test_what_is_too_large_is_not_read_to_its_end(
    server: Server, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QGJOB_BUILD_MAX_MB", "1")
    with refused("source", "QGJOB_BUILD_MAX_MB"):
        fetched(f"{server.url}/app.apk")
    assert left(settings) == []


def test_a_folder_that_cannot_be_written_is_the_workers_fault(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    with refused("config", "QGJOB_CACHE_DIR"):
        fetched("builds/acme/x.apk")


def test_batches_and_processes_that_need_the_same_build_fetch_it_once(server: Server, settings: Path) -> None:
    url = f"{server.url}/app.apk"
    server.go_on.clear()
    command = [sys.executable, "-c", PROGRAM, url, SHA]
    others = [subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) for _ in range(2)]

    async def many() -> set[Path]:
        waiting = asyncio.gather(*(fetch(Artifact(url, SHA)) for _ in range(10)))
        while not left(settings):  # noqa: ASYNC110  on disk
            await asyncio.sleep(0.01)
        assert left(settings) == [f"{SHA}.part"]
        server.go_on.set()
        return set(await waiting)

    try:
        found = asyncio.run(many())
    finally:
        answers = {other.communicate(timeout=60)[0].strip() for other in others}
    assert answers == {str(path) for path in found} == {str(settings / f"{SHA}.apk")}
    assert server.asked == ["/app.apk"]


def test_a_download_that_nobody_wants_any_more_leaves_nothing(server: Server, settings: Path) -> None:
    server.go_on.clear()

    async def abandoned() -> None:
        task = asyncio.create_task(fetch(Artifact(f"{server.url}/app.apk", SHA)))
        while not server.asked:  # noqa: ASYNC110  in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(abandoned())
    assert left(settings) == []
    server.go_on.set()
    assert fetched(f"{server.url}/app.apk").read_bytes() == APK


def test_a_process_that_is_killed_while_it_fetches_stops_nobody(server: Server, settings: Path) -> None:
    url = f"{server.url}/app.apk"
    server.go_on.clear()
    with subprocess.Popen([sys.executable, "-c", PROGRAM, url, SHA], cwd=CHECKOUT) as killed:
        assert wait_until(lambda: left(settings) == [f"{SHA}.part"], 30)
        killed.kill()
    server.go_on.set()
    assert fetched(url).read_bytes() == APK
    assert left(settings) == [f"{SHA}.apk"]


def test_what_was_used_longest_ago_makes_room(
    server: Server, settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QGJOB_CACHE_MB", "3")
    settings.mkdir(parents=True)
    hours = {"old": 9, "older": 10, "recent": 0}
    for name, ago in hours.items():
        (settings / f"{name}.apk").write_bytes(b"x")
        os.utime(settings / f"{name}.apk", (time.time() - ago * 3600,) * 2)
    fetched(f"{server.url}/app.apk")
    assert left(settings) == sorted([f"{SHA}.apk", "recent.apk"])
    monkeypatch.setenv("QGJOB_CACHE_MB", "many")
    with refused("config", "QGJOB_CACHE_MB"):
        fetched(f"{server.url}/app.apk")
