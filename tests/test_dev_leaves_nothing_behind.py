"""`qgjob dev` starts everything it needs and takes all of it down again, however it ends."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import qgjob
from qgjob import postgres
from qgjob.children import wait_until

# Stand-ins that keep the services' contract: the processes are real, the work is not.
API = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = []
        if self.path.startswith("/workers"):
            body = [{"name": path.name} for path in Path("registered").iterdir()]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
assert os.environ["QGJOB_DATABASE_URL"]
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""
WORKER = """
import os, sys, time
from pathlib import Path
print("driving devices")
Path("registered", sys.argv[sys.argv.index("--name") + 1]).write_text(str(os.getpid()))
time.sleep(600)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    shutil.copytree(Path(qgjob.__file__).parent, root / "qgjob", ignore=shutil.ignore_patterns("__pycache__"))
    for package, program in {"api": API, "worker": WORKER, "alembic": "", "sql": ""}.items():
        (root / package).mkdir()
        (root / package / "__init__.py").touch()
        (root / package / "__main__.py").write_text(program)
    (root / "tests/samples/node_modules/@playwright/test").mkdir(parents=True)
    (root / "registered").mkdir()
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the user stands."""
    (tmp_path / "here").mkdir()
    yield tmp_path / "here"
    postgres.erase(tmp_path / "here/.qgjob/postgres")


@pytest.fixture
def start(checkout: Path, folder: Path) -> Iterator["Start"]:
    start = Start(checkout, folder)
    yield start
    for process in start.made:
        process.kill()
        process.communicate()


class Start:
    """Starts `qgjob dev` processes and ends those that a test leaves."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.checkout = checkout
        self.folder = folder
        self.made: list[subprocess.Popen[str]] = []

    def __call__(self, port: int = 0, fresh: bool = False) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", f"from qgjob.dev import dev; raise SystemExit(dev({port}, {fresh}))"],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.checkout)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.made.append(process)
        return process

    def processes(self) -> dict[int, str]:
        """What runs on the data of this test, and the stand-in workers: pid and command line."""
        data_dir = self.folder / ".qgjob/postgres"
        marks = (str(self.folder), str(postgres._elsewhere(data_dir)))
        workers = [note.read_text() for note in (self.checkout / "registered").iterdir()]
        listed = subprocess.run(["ps", "-wweo", "pid=,stat=,args="], capture_output=True, text=True, check=True).stdout
        found: dict[int, str] = {}
        for line in listed.splitlines():
            pid, stat, args = line.split(None, 2)
            if not stat.startswith("Z") and (pid in workers or any(mark in args for mark in marks)):
                found[int(pid)] = args
        return found


def url_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("export QGJOB_SERVER_URL=http://127.0.0.1:"), line + process.communicate()[1]
    return line.strip().partition("=")[2]


def answers(url: str) -> bool:
    address = url.removeprefix("http://").split(":")
    with socket.socket() as client:
        return client.connect_ex((address[0], int(address[1]))) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_and_counts_as_success(start: Start, number: signal.Signals):
    process = start()
    url = url_of(process)
    assert answers(url)
    assert len(start.processes()) == 3
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == "", "stdout carries the one line only"
    assert not answers(url)
    assert start.processes() == {}


def test_killing_it_leaves_nothing_behind(start: Start):
    process = start()
    url = url_of(process)
    process.kill()
    process.wait()
    assert wait_until(lambda: start.processes() == {} and not answers(url), 30), start.processes()


def test_it_starts_again_on_the_same_data(start: Start):
    for fresh, expected in ((False, ""), (False, "t"), (True, "")):
        process = start(fresh=fresh)
        url_of(process)
        assert process.stderr is not None
        database = next(line.split()[1] for line in process.stderr if line.startswith("database"))
        psql = [postgres.binaries() / "psql", "-AtqX", database, "-c"]
        found = subprocess.run([*psql, "select to_regclass('kept') = 'kept'::regclass"], capture_output=True, text=True)
        assert found.stdout.strip() == expected
        subprocess.run([*psql, "create table if not exists kept ()"], check=True, capture_output=True)
        process.terminate()
        process.communicate(timeout=60)


def test_a_second_one_in_the_same_folder_is_told_the_pid_of_the_first(start: Start):
    first = start()
    url = url_of(first)
    second = start()
    _, err = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"qgjob dev already runs in this folder (process {first.pid})" in err
    assert answers(url)


def test_a_port_that_is_in_use_is_named(start: Start):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(port=port)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"port {port} is in use" in err
    assert start.processes() == {}


@pytest.mark.parametrize("victim", ["emulator", "device"])
def test_a_worker_that_dies_stops_everything_and_is_named_with_its_last_lines(start: Start, victim: str):
    process = start()
    url_of(process)
    os.kill(int((start.checkout / "registered" / f"dev-{victim}").read_text()), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert f"worker-{victim} ended by itself" in err
    assert "driving devices" in err
    assert start.processes() == {}


def test_a_database_that_dies_stops_everything(start: Start):
    process = start()
    url_of(process)
    log = (start.folder / ".qgjob/postgres/postgres.log").read_text()
    assert "ready to accept connections" in log
    postmaster = next(pid for pid, args in start.processes().items() if "bin/postgres -D" in args)
    os.kill(postmaster, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "postgres ended by itself" in err
    assert start.processes() == {}


def test_an_api_that_does_not_start_shows_its_last_lines(start: Start):
    (start.checkout / "api/__main__.py").write_text("raise SystemExit('no such table: job')")
    process = start()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "the API did not start" in err
    assert "no such table: job" in err
    assert start.processes() == {}


def test_a_migration_that_fails_shows_its_last_lines(start: Start):
    (start.checkout / "alembic/__main__.py").write_text("raise SystemExit('cannot upgrade')")
    process = start()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "cannot upgrade" in err


def test_the_client_without_a_checkout_says_what_to_do(start: Start):
    shutil.rmtree(start.checkout / "api")
    process = start()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "make demo" in err
    assert list(start.folder.iterdir()) == []
