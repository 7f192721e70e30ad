"""Whoever stops a worker gets rid of it, whether or not the engine answers, and of everything that it has started."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from batches import gone
from engine import Engine
from faulty_network import FaultyNetwork, Wire
from processes import Services, both_transports

from qgjob.children import Child, free_port, wait_until

STUBBORN = """
import os, signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
open("pid.new", "w").write(str(os.getpid()))
os.rename("pid.new", "pid")
time.sleep(600)
"""


@pytest.fixture
def wire(services: Services, database_url: str, transport: str) -> Iterator[Wire]:
    """Between a worker and what it reaches."""
    with Wire(services.api() if transport == "http" else database_url) as wire:
        yield wire


def wired(services: Services, wire: Wire, transport: str, *options: str) -> Child:
    if "--executor" not in options:
        options = (*options, "--executor", "simulated")
    if transport == "http":
        options, known = (*options, "--server", wire.url), {}
    else:
        known = {"QGJOB_DATABASE_URL": wire.url}
    worker = services.start("lab", "worker", "--name", "lab", *options, without=("QGJOB_DATABASE_URL",), **known)
    assert wait_until(lambda: " and drives " in worker.last_lines(100), 60), worker.last_lines()
    return worker


def seconds_until_it_leaves(worker: Child, *signals: signal.Signals) -> float:
    """Told so many times."""
    since = time.monotonic()
    for number, told in zip(signals, ("draining", "giving back everything"), strict=False):
        worker.process.send_signal(number)
        assert wait_until(lambda text=told: text in worker.last_lines(1000) or not worker.running, 30)
    assert worker.process.wait(60) == 0, worker.last_lines(50)
    return time.monotonic() - since


def alone(services: Services, *options: str) -> Child:
    """A worker that reaches nobody."""
    server = f"http://127.0.0.1:{free_port()}"
    without = ("QGJOB_DATABASE_URL",)
    return services.start("lost", "worker", "--server", server, "--executor", "simulated", *options, without=without)


def cut_off(engine: Engine, services: Services, wire: Wire, transport: str, *options: str, devices: int = 1) -> Child:
    """A worker with a lease of 2 s, of which all devices wait for work, and that reaches nobody from now on."""
    worker = wired(services, wire, transport, "--lease", "2", "--devices", str(devices), *options)
    assert wait_until(lambda: engine.value("select count(*) from qgjob.waiting_device") == devices, 30)
    wire.cut()
    return worker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_has_reached_nobody_yet_leaves_at_once(services: Services, number: signal.Signals) -> None:
    worker = alone(services, "--lease", "3600")
    assert wait_until(lambda: "cannot reach" in worker.last_lines(), 30), worker.last_lines()
    assert seconds_until_it_leaves(worker, number) < 5


@both_transports
def test_one_that_is_idle_leaves_when_its_lease_has_run_out(
    engine: Engine, services: Services, wire: Wire, transport: str
) -> None:
    worker = cut_off(engine, services, wire, transport, devices=2)
    assert seconds_until_it_leaves(worker, signal.SIGTERM) < 2 + 8
    assert "nobody has answered for 2 s" in worker.last_lines(100)


@both_transports
def test_one_that_leaves_without_work_does_so_also_when_nobody_answers(
    engine: Engine, services: Services, wire: Wire, transport: str
) -> None:
    worker = cut_off(engine, services, wire, transport, "--max-idle", "12")
    assert worker.process.wait(60) == 5, worker.last_lines(50)
    assert worker.last_lines(1) == "error: nobody has answered for too long"


def test_one_for_a_burst_does_not_wait_for_a_server_for_ever(services: Services) -> None:
    worker = alone(services, "--lease", "2", "--burst")
    assert worker.process.wait(60) == 5, worker.last_lines(50)
    assert worker.last_lines(1) == "error: nobody has answered for too long"


@both_transports
def test_told_twice_it_waits_for_nobody_and_leaves_no_process_behind(
    engine: Engine, services: Services, wire: Wire, transport: str, tmp_path: Path
) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    worker = wired(
        services, wire, transport, "--lease", "600", "--project", str(tmp_path), "--executor", "command",
        "--setting", 'run=["python3", "stubborn.py", "{spec}"]', "--setting", "grace_s=60",
    )  # fmt: skip
    (tmp_path / "a.py").touch()
    engine.submit("a.py")
    assert wait_until((tmp_path / "pid").exists, 30), worker.last_lines(50)
    pid = int((tmp_path / "pid").read_text())
    wire.cut()
    assert seconds_until_it_leaves(worker, signal.SIGTERM, signal.SIGTERM) < 15
    assert gone(pid)


def test_told_twice_it_gives_back_what_an_executor_does_not_end(
    engine: Engine, services: Services, tmp_path: Path
) -> None:
    """Its runner is killed, and the job is another's without waiting for the lease."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    (tmp_path / "a.py").touch()
    worker = services.worker(
        "lab", "--lease", "600", "--project", str(tmp_path), "--executor", "command",
        "--setting", 'run=["python3", "stubborn.py", "{spec}"]', "--setting", "grace_s=60",
    )  # fmt: skip
    run = engine.submit("a.py")
    assert wait_until((tmp_path / "pid").exists, 30), worker.last_lines(50)
    assert seconds_until_it_leaves(worker, signal.SIGTERM, signal.SIGTERM) < 15
    assert gone(int((tmp_path / "pid").read_text()))
    assert (engine.run(run.run_id).pending, engine.value("select status from reporting.workers")) == (1, "ended")


def test_one_whose_token_was_revoked_in_a_batch_finishes_its_test_and_leaves(
    engine: Engine, services: Services, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text("import os, time; os.mkdir('begun'); time.sleep(4); os.mkdir('over')")
    with FaultyNetwork(services.api()) as network:
        worker = services.start(
            "lab", "worker", "--name", "lab", "--server", network.url, "--lease", "1", "--project", str(tmp_path),
            "--executor", "command", "--setting", 'run=["python3", "{spec}"]',
            without=("QGJOB_DATABASE_URL",), QGJOB_TOKEN="qg_lab",
        )  # fmt: skip
        engine.submit("a.py")
        assert wait_until((tmp_path / "begun").exists, 30), worker.last_lines()
        network.fault = lambda _: 401
        seconds_until_it_leaves(worker, signal.SIGTERM)
    assert (tmp_path / "over").exists()
    assert "job 1: completed, which nobody has confirmed: it may run again" in worker.last_lines(100)
