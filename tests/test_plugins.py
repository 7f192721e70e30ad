"""An executor and a backend of an installed package are used like the ones that are built in."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from adb_lab import build
from engine import Engine
from processes import CHECKOUT, Services, both_transports

from qgjob.children import wait_until

EXAMPLE = Path(__file__).parent / "plugin-example"
BROKEN = r"""
from msgspec import structs
from worker.executors import Finished
from worker.devices.none import NamedDevices
from worker.executors.simulated import SimulatedExecutor

class Broken(SimulatedExecutor):
    async def prepare(self, batch):
        if batch.app_version_id == "v2":
            raise KeyError("session")
        return await super().prepare(batch)

    async def cleanup(self, prepared, *, failed):
        raise KeyError("cleanup")

class Wordy(SimulatedExecutor):
    told = {
        "nul": {"tests": [{"title": "a\0b"}]},
        "object": {"tests": [{"title": object()}]},
        "huge": {"tests": [{"title": "語" * 3_000_000}]},
        "unknown": {"status": "passed"},
    }

    async def run(self, prepared, jobs, stop):
        paths = {job.job_id: job.test_path for job in jobs}
        async for event in super().run(prepared, jobs, stop):
            if isinstance(event, Finished):
                event = structs.replace(event, **self.told.get(paths[event.job_id].split(".")[0].split("-")[0], {}))
            yield event

class Brittle(NamedDevices):
    calls = []

    async def probe(self, device):
        self.once("probe")

    async def lost(self, device):
        self.once("lost")

    async def evidence(self, batch, folder, since_s):
        raise KeyError("evidence")

    def once(self, name):
        self.calls.append(name)
        if self.calls.count(name) == 1:
            raise KeyError(name)
"""


@pytest.fixture
def installed(tmp_path: Path) -> str:
    """The example, installed by pip; the folder in which Python finds it."""
    shutil.copytree(EXAMPLE, tmp_path / "source")  # building writes into its folder
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps",
         "--no-build-isolation", "--target", str(tmp_path / "installed"), str(tmp_path / "source")],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}, timeout=120, check=True,
    )  # fmt: skip
    return str(tmp_path / "installed")


def spec(at: Path, name: str, *lines: str) -> str:
    at.mkdir(exist_ok=True)
    (at / name).write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    (at / name).chmod(0o755)
    return name


def test_an_installed_executor_runs_specs_on_the_devices_of_an_installed_backend(
    engine: Engine, services: Services, installed: str, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    paths = [
        spec(project, "good.t", 'test ! -e "$SHELF_DEVICE/data" && echo "ok 1 - begins without data"',
             'touch "$SHELF_DEVICE/data"', 'test -s "$SHELF_DEVICE/app" && echo "ok 2 - has the build"'),
        spec(project, "other.t", 'test ! -e "$SHELF_DEVICE/data" && echo "ok 1 - begins without data"'),
        spec(project, "bad.t", 'echo kept > "$SHELF_DEVICE/data"', "echo ok 1 - first", "echo not ok 2 - total"),
    ]  # fmt: skip
    (tmp_path / "shelf" / "one").mkdir(parents=True)
    run = engine.submit(*paths)
    artifact = build(tmp_path)
    engine.rows(
        "insert into qgjob.artifact (org_id, app_version_id, platform, url, sha256, app_id, created_at) "
        "values ('acme', 'v1', 'android', %s, %s, %s, qgjob.now()) returning 1",
        artifact.url, artifact.sha256, artifact.app_id,
    )  # fmt: skip
    worker = services.worker(
        "lab", "--executor", "tap", "--project", str(project), "--backend", "shelf",
        "--backend-setting", f"shelf={tmp_path / 'shelf'}", "--backend-setting", 'devices=["one"]',
        PYTHONPATH=installed,
    )  # fmt: skip
    assert wait_until(lambda: engine.run(run.run_id).finished_at is not None, 60), worker.last_lines()
    rows = engine.rows(
        "select test_path, coalesce(failure_kind, status) as verdict, message, device from reporting.attempts"
    )
    assert {row.test_path: row.verdict for row in rows} == {
        "good.t": "completed", "other.t": "completed", "bad.t": "test",
    }  # fmt: skip
    assert {row.message for row in rows if row.test_path == "bad.t"} == {"not ok: total"}
    assert {row.device for row in rows} == {"lab-one"}
    assert (tmp_path / "shelf" / "one" / "app").read_bytes() == Path(artifact.url.removeprefix("file://")).read_bytes()
    files = engine.rows("select files from reporting.attempts where test_path = 'bad.t'")[0].files
    assert [file["name"] for file in files] == ["data.txt"]


def test_a_name_that_nobody_installed_is_refused_with_those_that_are(installed: str) -> None:
    for flags, words in (
        (["--executor", "detox"], "no executor 'detox'; installed: appwright, command, playwright, simulated, tap"),
        (["--executor", "tap", "--backend", "usb"], "no backend 'usb'; installed: adb, browserstack, none, shelf"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "worker", *flags],
            env=os.environ | {"PYTHONPATH": installed, "QGJOB_DATABASE_URL": "postgresql://nowhere"},
            cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert words in done.stderr


def broken_package(folder: Path) -> None:
    (folder / "broken.py").write_text(BROKEN)
    info = folder / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    points = (
        "[qgjob.executors]\nbroken = broken:Broken\nwordy = broken:Wordy\n[qgjob.backends]\nbrittle = broken:Brittle\n"
    )
    (info / "entry_points.txt").write_text(points)


def test_an_executor_that_breaks_costs_a_loss_and_not_its_worker(
    engine: Engine, services: Services, tmp_path: Path
) -> None:
    broken_package(tmp_path)
    worker = services.worker("lab", "--executor", "broken", PYTHONPATH=str(tmp_path))
    broken = engine.submit("a.js", build="v2").run_id
    lost = "select failure_kind, message from qgjob.attempt"
    assert wait_until(lambda: bool(engine.rows(lost)), 30), worker.last_lines()
    engine.call("cancel_run", run_id=broken)
    assert engine.rows(lost)[0] == ("infrastructure", "Preparing the batch failed: KeyError: 'session'")
    run = engine.submit("a.js")
    assert wait_until(lambda: engine.run(run.run_id).finished_at is not None, 30), worker.last_lines()
    assert engine.run(run.run_id).completed == 1
    # The run has its result before the executor cleans up.
    assert wait_until(lambda: "cleaning up failed" in worker.log.read_text(), 30), worker.last_lines()
    assert "Traceback" in worker.log.read_text(), "whoever wrote it needs to know where"


@both_transports
def test_a_verdict_is_kept_when_what_came_with_it_is_refused(
    engine: Engine, services: Services, transport: str, tmp_path: Path
) -> None:
    """As nobody else could run these either: a worker that left them would be followed by the next."""
    broken_package(tmp_path)
    worker = services.worker("lab", "--executor", "wordy", "--devices", "2", PYTHONPATH=str(tmp_path))
    run = engine.submit("good.js", "nul-1.js", "nul-fail.js", "object.js", "huge.js")
    assert wait_until(lambda: engine.run(run.run_id).finished_at is not None, 60), worker.last_lines()
    jobs = engine.rows("select test_path, status, failure_kind, message, attempts from reporting.jobs order by 1")
    assert [(job.test_path, job.status, job.failure_kind, job.attempts) for job in jobs] == [
        ("good.js", "completed", None, 1), ("huge.js", "completed", None, 1), ("nul-1.js", "completed", None, 1),
        ("nul-fail.js", "failed", "test", 1), ("object.js", "completed", None, 1),
    ]  # fmt: skip
    refused = {job.test_path for job in jobs if "What came with this result was refused" in (job.message or "")}
    # The API takes 4 MB of it, PostgreSQL more.
    assert refused == {"nul-1.js", "nul-fail.js", "object.js"} | ({"huge.js"} if transport == "http" else set())
    assert worker.running


@both_transports
def test_a_verdict_that_nobody_knows_is_a_loss(
    engine: Engine, services: Services, transport: str, tmp_path: Path
) -> None:
    broken_package(tmp_path)
    worker = services.worker("lab", "--executor", "wordy", PYTHONPATH=str(tmp_path))
    run = engine.submit("unknown.js", "good.js")
    lost = "select failure_kind, message from qgjob.attempt where failure_kind is not null"
    assert wait_until(lambda: bool(engine.rows(lost)), 60), worker.last_lines()
    kind, message = engine.rows(lost)[0]
    assert (kind, message.startswith("What came with this result was refused: ")) == ("infrastructure", True)
    assert wait_until(lambda: engine.run(run.run_id).completed == 1, 30), worker.last_lines()
    assert worker.running


def test_a_backend_that_breaks_costs_a_loss_and_not_its_worker(
    engine: Engine, services: Services, tmp_path: Path
) -> None:
    broken_package(tmp_path)
    worker = services.worker("lab", "--backend", "brittle", PYTHONPATH=str(tmp_path))
    run = engine.submit("a.js", "b-fail.js")
    assert wait_until(lambda: engine.run(run.run_id).finished_at is not None, 60), worker.last_lines()
    attempts = engine.rows("select coalesce(failure_kind, status) as verdict, message, log from qgjob.attempt")
    assert sorted(each.verdict for each in attempts) == ["completed", "infrastructure", "test"]
    assert any("Asking for the device failed: KeyError: 'lost'" in (each.message or "") for each in attempts)
    assert any("the device could not be asked about itself: KeyError: 'evidence'" in each.log for each in attempts)
    assert "Probing it failed: KeyError: 'probe'" in worker.log.read_text()
