"""A worker drives Android devices as they come and go: builds are installed once, and a lost device fails no test."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from adb_lab import build
from engine import Engine
from fake_device import FakeDevice, Lab
from processes import CHECKOUT, Services

from qgjob.children import Child, wait_until
from worker.batch import Artifact


class AdbWorker:
    """Starts workers whose specs are a line for the device's shell: it notes that the spec ran there, and does not end
    while the device has a file named hold."""

    def __init__(self, lab: Lab, services: Services, folder: Path) -> None:
        self._lab, self._services, self._folder = lab, services, folder
        (folder / "tests").mkdir()

    def specs(self, *names: str) -> list[str]:
        for name in names:
            (self._folder / "tests" / name).touch()
        return [f"tests/{name}" for name in names]

    def start(self, *options: str, line: str = "am force-stop {spec}; while [ -e hold ]; do sleep 0.05; done") -> Child:
        run = f'["{self._lab.adb}", "shell", "{line}"]'
        return self._services.worker(
            "lab", "--backend", "adb", "--backend-setting", f"adb={self._lab.adb}", "--executor", "command",
            "--project", str(self._folder), "--setting", f"run={run}", *options,
        )  # fmt: skip


@pytest.fixture
def adb_worker(lab: Lab, services: Services, tmp_path: Path) -> AdbWorker:
    return AdbWorker(lab, services, tmp_path)


def submit(engine: Engine, artifact: Artifact, specs: list[Any], **options: Any) -> Any:
    run = engine.submit(*specs, **options)
    engine.rows(
        "insert into qgjob.artifact (org_id, app_version_id, platform, url, sha256, app_id, created_at) "
        "values ('acme', 'v1', 'android', %s, %s, %s, qgjob.now()) on conflict do nothing returning 1",
        artifact.url, artifact.sha256, artifact.app_id,
    )  # fmt: skip
    return run


def ran(device: FakeDevice) -> list[str]:
    return [event.removeprefix("force-stop ") for event in device.events if event.startswith("force-stop")]


def ended(engine: Engine, run: Any) -> bool:
    return wait_until(lambda: engine.run(run.run_id).finished_at is not None, 60)


def device_status(engine: Engine, device: FakeDevice) -> str | None:
    rows = engine.rows("select status from reporting.devices where name = %s", f"lab-{device.serial}")
    return rows[0].status if rows else None


def test_a_build_is_installed_once_for_all_its_tests(
    engine: Engine, lab: Lab, adb_worker: AdbWorker, tmp_path: Path
) -> None:
    device = lab.device()
    specs = adb_worker.specs("a.spec.js", "b.spec.js", "c.spec.js")
    run = submit(engine, build(tmp_path), specs)
    worker = adb_worker.start("--max-idle", "20")
    assert ended(engine, run), worker.last_lines()
    assert engine.run(run.run_id).completed == 3
    assert sorted(ran(device)) == specs
    assert device.count("install") == 1
    assert device.count("clear") >= 3, "a spec found the data of another"
    assert worker.process.wait(60) == 0


def test_two_devices_share_the_work(engine: Engine, lab: Lab, adb_worker: AdbWorker, tmp_path: Path) -> None:
    pair = [lab.device(), lab.device()]
    for device in pair:
        (device.root / "hold").touch()
    # Two kinds of data that cannot share an installation, so that each device gets one.
    specs = adb_worker.specs("a.spec.js", "b.spec.js")
    run = submit(engine, build(tmp_path), [{"test_path": specs[0], "reset": "none"}, {"test_path": specs[1]}])
    worker = adb_worker.start()
    assert wait_until(lambda: engine.run(run.run_id).running == 2, 60), worker.last_lines()
    for device in pair:
        (device.root / "hold").unlink()
    assert ended(engine, run), worker.last_lines()
    assert sorted(spec for device in pair for spec in ran(device)) == specs
    assert [len(ran(device)) for device in pair] == [1, 1]


def test_what_a_device_that_is_unplugged_was_doing_goes_elsewhere(
    engine: Engine, lab: Lab, adb_worker: AdbWorker, tmp_path: Path
) -> None:
    doomed, heir = lab.device(), lab.device(plugged=False)
    (doomed.root / "hold").touch()
    specs = adb_worker.specs("a.spec.js", "b.spec.js", "c.spec.js", "d.spec.js")
    run = submit(engine, build(tmp_path), specs)
    worker = adb_worker.start()
    assert wait_until(lambda: len(ran(doomed)) == 1 and engine.run(run.run_id).running == 1, 60), worker.last_lines()

    lab.unplug(doomed)
    assert wait_until(lambda: device_status(engine, doomed) == "offline", 30), worker.last_lines()
    assert engine.run(run.run_id).pending == 4
    lab.plug(heir)
    assert ended(engine, run), worker.last_lines()

    assert engine.run(run.run_id).completed == 4
    # One loss, of the job that was running; the others were not even started, and no test has failed.
    lost = engine.rows("select failure_kind, message from qgjob.attempt where status = 'failed'")
    assert [row.failure_kind for row in lost] == ["infrastructure"]
    assert "The device was lost while this job was running." in lost[0].message
    assert engine.value("select count(*) from qgjob.attempt") == 5
    assert engine.value("select count(*) from qgjob.job where flaky") == 0
    assert sorted(ran(heir)) == specs

    (doomed.root / "hold").unlink()
    lab.plug(doomed)
    assert wait_until(lambda: device_status(engine, doomed) == "idle", 30), worker.last_lines()


def test_a_device_that_vanishes_while_installing_gives_its_jobs_to_another(
    engine: Engine, lab: Lab, adb_worker: AdbWorker, tmp_path: Path
) -> None:
    doomed, heir = lab.device(), lab.device(plugged=False)
    doomed.faults["package install"] = "vanish"
    run = submit(engine, build(tmp_path), adb_worker.specs("a.spec.js", "b.spec.js"))
    worker = adb_worker.start()
    assert wait_until(lambda: device_status(engine, doomed) == "offline", 60), worker.last_lines()
    lab.plug(heir)
    assert ended(engine, run), worker.last_lines()
    assert engine.run(run.run_id).completed == 2
    assert (doomed.count("install"), heir.count("install")) == (0, 1)


def test_a_device_that_hangs_fails_no_test(engine: Engine, lab: Lab, adb_worker: AdbWorker, tmp_path: Path) -> None:
    stuck = lab.device()
    (stuck.root / "hold").touch()
    (spec,) = adb_worker.specs("a.spec.js")
    run = submit(engine, build(tmp_path), [{"test_path": spec, "timeout_s": 1}])
    worker = adb_worker.start()
    assert wait_until(lambda: engine.run(run.run_id).running == 1, 60), worker.last_lines()
    stuck.faults["echo ok"] = "hang"
    assert wait_until(lambda: engine.value("select count(*) from qgjob.attempt") == 1, 60), worker.last_lines()
    attempt = engine.row("select failure_kind, message from qgjob.attempt")
    assert attempt.failure_kind == "infrastructure"
    assert "did not answer within 5 s" in attempt.message


def test_a_test_that_fails_on_a_sound_device_has_failed(
    engine: Engine, lab: Lab, adb_worker: AdbWorker, tmp_path: Path
) -> None:
    lab.device()
    run = submit(engine, build(tmp_path), adb_worker.specs("a.spec.js"))
    worker = adb_worker.start("--max-idle", "20", line="echo the total is wrong; exit 3")
    assert ended(engine, run), worker.last_lines()
    attempt = engine.row("select failure_kind, message from qgjob.attempt")
    assert tuple(attempt) == ("test", "exit code 3: the total is wrong")


def test_a_worker_waits_for_devices(engine: Engine, lab: Lab, adb_worker: AdbWorker, tmp_path: Path) -> None:
    run = submit(engine, build(tmp_path), adb_worker.specs("a.spec.js"))
    worker = adb_worker.start()
    assert "drives 0 devices" in worker.last_lines()
    device = lab.device()
    assert ended(engine, run), worker.last_lines()
    assert device.count("install") == 1
    worker.process.terminate()
    assert worker.process.wait(30) == 0


def test_a_worker_that_may_not_wait_leaves_without_devices(adb_worker: AdbWorker) -> None:
    worker = adb_worker.start("--max-idle", "20")
    assert worker.process.wait(30) == 0


def test_a_build_that_is_not_registered_says_so(engine: Engine, lab: Lab, adb_worker: AdbWorker) -> None:
    lab.device()
    engine.submit(*adb_worker.specs("a.spec.js"))
    worker = adb_worker.start()
    assert wait_until(lambda: engine.value("select count(*) from qgjob.attempt") > 0, 60), worker.last_lines()
    message = engine.rows("select message from qgjob.attempt")[0].message
    assert message.startswith("Build v1 has no artifact for android, so nothing can be installed.")


def test_a_worker_without_adb_does_not_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker", "--executor", "simulated", "--backend", "adb"],
        env={"PATH": str(tmp_path), "QGJOB_DATABASE_URL": "postgresql://nowhere"},
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: no program 'adb': install the Android platform tools")


def test_a_device_that_is_not_well_waits_in_quarantine_until_it_is(
    engine: Engine, lab: Lab, adb_worker: AdbWorker, services: Services, tmp_path: Path
) -> None:
    device = lab.device()
    device.set(battery={"present": "true", "level": "3", "temperature": "251"})
    run = submit(engine, build(tmp_path), adb_worker.specs("a.spec.js"))
    adb_worker.start()
    assert wait_until(lambda: device_status(engine, device) == "quarantined", 30)
    why = engine.call("get_why", job_id=run.job_ids[0]).reason
    assert f"lab-{device.serial}: The battery of {device.serial} is at 3 %" in why

    device.set(battery={"present": "true", "level": "87", "temperature": "251"})
    assert ended(engine, run)
    assert engine.run(run.run_id).completed == 1
    assert engine.value("select count(*) from qgjob.attempt") == 1


def test_a_build_that_no_device_takes_fails_its_group_by_the_first_refusal(
    engine: Engine, lab: Lab, adb_worker: AdbWorker, tmp_path: Path
) -> None:
    device = lab.device()
    device.set(install_failures=["INSTALL_PARSE_FAILED_NO_CERTIFICATES"])
    run = submit(engine, build(tmp_path), adb_worker.specs(*(f"{number}.spec.js" for number in range(30))))
    adb_worker.start()
    assert ended(engine, run)
    assert engine.run(run.run_id).failed == 30
    job = engine.job(run.job_ids[-1])
    assert (job.failure_kind, job.attempts) == ("test", 1)
    assert "its signature is missing or wrong: sign it" in job.message
    assert engine.rows("select end_reason from qgjob.batch") == [("refused",)]
    assert device_status(engine, device) == "idle"
