"""`qgjob dev` starts everything it needs and takes all of it down again, however it ends."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_checkout import Checkout

from qgjob import postgres
from qgjob.children import wait_until


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path)
    yield checkout
    checkout.close()


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
def test_a_signal_stops_everything_and_counts_as_success(checkout: Checkout, number: signal.Signals):
    process = checkout.dev()
    url = url_of(process)
    assert answers(url)
    assert len(checkout.processes()) == 3
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == "", "stdout carries the one line only"
    assert not answers(url)
    assert checkout.processes() == {}


def test_killing_it_leaves_nothing_behind(checkout: Checkout):
    process = checkout.dev()
    url = url_of(process)
    process.kill()
    process.wait()
    assert wait_until(lambda: checkout.processes() == {} and not answers(url), 30), checkout.processes()


def test_it_starts_again_on_the_same_data(checkout: Checkout):
    for fresh, expected in ((False, ""), (False, "t"), (True, "")):
        process = checkout.dev(fresh=fresh)
        url_of(process)
        assert process.stderr is not None
        database = next(line.split()[1] for line in process.stderr if line.startswith("database"))
        psql = [postgres.binaries() / "psql", "-AtqX", database, "-c"]
        found = subprocess.run([*psql, "select to_regclass('kept') = 'kept'::regclass"], capture_output=True, text=True)
        assert found.stdout.strip() == expected
        subprocess.run([*psql, "create table if not exists kept ()"], check=True, capture_output=True)
        process.terminate()
        process.communicate(timeout=60)


def test_a_second_one_in_the_same_folder_is_told_the_pid_of_the_first(checkout: Checkout):
    first = checkout.dev()
    url = url_of(first)
    second = checkout.dev()
    _, err = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"qgjob dev already runs in this folder (process {first.pid})" in err
    assert answers(url)


def test_a_port_that_is_in_use_is_named(checkout: Checkout):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = checkout.dev(port=port)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"port {port} is in use" in err
    assert checkout.processes() == {}


@pytest.mark.parametrize("victim", ["emulator", "device"])
def test_a_worker_that_dies_stops_everything_and_is_named_with_its_last_lines(checkout: Checkout, victim: str):
    process = checkout.dev()
    url_of(process)
    os.kill(int((checkout.root / "registered" / f"dev-{victim}").read_text()), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert f"worker-{victim} ended by itself" in err
    assert "driving devices" in err
    assert checkout.processes() == {}


def test_a_database_that_dies_stops_everything(checkout: Checkout):
    process = checkout.dev()
    url_of(process)
    log = (checkout.here / ".qgjob/postgres/postgres.log").read_text()
    assert "ready to accept connections" in log
    postmaster = next(pid for pid, args in checkout.processes().items() if "bin/postgres -D" in args)
    os.kill(postmaster, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "postgres ended by itself" in err
    assert checkout.processes() == {}


def test_an_api_that_does_not_start_shows_its_last_lines(checkout: Checkout):
    (checkout.root / "api/__main__.py").write_text("raise SystemExit('no such table: job')")
    process = checkout.dev()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "the API did not start" in err
    assert "no such table: job" in err
    assert checkout.processes() == {}


def test_a_migration_that_fails_shows_its_last_lines(checkout: Checkout):
    (checkout.root / "alembic/__main__.py").write_text("raise SystemExit('cannot upgrade')")
    process = checkout.dev()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "cannot upgrade" in err


def test_the_client_without_a_checkout_says_what_to_do(checkout: Checkout):
    shutil.rmtree(checkout.root / "api")
    process = checkout.dev()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "make demo" in err
    assert list(checkout.here.iterdir()) == []


def test_the_specs_of_a_project_of_ones_own_are_run(checkout: Checkout, tmp_path: Path):
    project = tmp_path / "own"
    project.mkdir()
    refused = checkout.dev(project=project)
    _, err = refused.communicate(timeout=60)
    assert (refused.returncode, f"there is no Playwright in {project}; run there: npm install" in err) == (2, True), err
    (project / "node_modules/@playwright/test").mkdir(parents=True)
    process = checkout.dev(project=project)
    url_of(process)
    workers = [line for line in checkout.processes().values() if "-m worker" in line]
    assert len(workers) == 2
    assert all(f"--executor playwright --project {project} " in line for line in workers)
