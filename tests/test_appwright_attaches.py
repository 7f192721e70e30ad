"""Unmodified AppWright specs share one session and one installation, on devices and in the cloud; without attaching,
each test has its own. From `qgjob submit` to the result, with every process and program real but the devices."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from appium_home import APP_ID, PROJECT, Home, installed, program
from browserstack import BrowserStack
from engine import Engine
from fake_device import FakeDevice, Lab
from processes import Services

from qgjob.children import Child, wait_until
from qgjob.postgres import free_port

pytestmark = pytest.mark.appwright

SPECS = sorted(path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("tests/*.spec.ts"))
FAILING = ["tests/checkout.spec.ts", "tests/profile.spec.ts"]
READY_S = 60


@pytest.fixture
def phone(lab: Lab) -> FakeDevice:
    return lab.device()


@pytest.fixture
def service(services: Services, home: Home) -> Services:
    """The API; the client is in the samples' folder."""
    services.project = PROJECT
    services.api()
    return services


def add_build(service: Services) -> None:
    done = service.qgjob("builds", "add", "--org-id=acme", "--app-version-id=v1", "--android=app/shop.apk")
    assert done.returncode == 0, done.stderr


def adb_worker(service: Services, lab: Lab, *options: str) -> Child:
    return service.worker(
        "emu", "--backend", "adb", "--backend-setting", f"adb={lab.adb}", "--executor", "appwright",
        "--project", str(PROJECT), *options,
    )  # fmt: skip


def leaves(worker: Child) -> None:
    worker.process.terminate()
    assert worker.process.wait(READY_S) == 0, worker.last_lines()


def submit(service: Services, worker: Child, *options: str, tests: str = "tests/*.spec.ts") -> dict[str, Any]:
    """Submit and wait; the run."""
    done = service.qgjob(
        "submit", "--org-id=acme", "--app-version-id=v1", f"--test={tests}", "--wait", "--timeout=90s", "--json", *options
    )
    assert done.returncode in (0, 1), done.stderr + worker.last_lines(60)
    run: dict[str, Any] = json.loads(done.stdout)
    return run


def results(engine: Engine) -> dict[str, str]:
    """By spec: `completed`, or the kind of failure. Each job has exactly one attempt."""
    rows = engine.rows("select test_path, coalesce(failure_kind, status) as verdict from reporting.attempts")
    assert len(rows) == len({row.test_path for row in rows}), "not one attempt for each"
    return {row.test_path: row.verdict for row in rows}


def assert_two_of_eight_failed(engine: Engine) -> None:
    assert len(SPECS) == 8
    assert results(engine) == {spec: "test" if spec in FAILING else "completed" for spec in SPECS}
    reasons = engine.rows("select message from reporting.attempts where status = 'failed' order by test_path")
    assert "toBeVisible" in reasons[0].message or "Element" in reasons[0].message, reasons
    assert "Ada Lovelace" in reasons[1].message, reasons


def say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        print(f"\n{text}")


def test_eight_specs_of_which_two_fail_take_one_installation_and_one_session_on_an_emulator(
    engine: Engine, service: Services, lab: Lab, home: Home, phone: FakeDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    add_build(service)
    worker = adb_worker(service, lab)
    run = submit(service, worker)
    leaves(worker)
    say(capsys, f"emulator, attached: 8 specs, {phone.count('install')} install, {home.count('session')} session")
    print(worker.last_lines(100))
    assert_two_of_eight_failed(engine)
    assert (phone.count("install"), home.count("session"), home.count("quit")) == (1, 1, 1)
