"""Whatever goes wrong around AppWright specs on a device, each has the verdict it deserves, nothing is left behind, and
the specs that have nothing to do with it run on. tests/test_fault_table.py says which test covers which fault."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from adb_lab import build
from appium_home import PROJECT, Home, installed
from batches import gone, pids
from engine import Engine
from fake_device import FakeDevice, Lab
from processes import Services

from qgjob.children import Child, wait_until
from worker.batch import Artifact

pytestmark = pytest.mark.appwright

PASS = 'await expect(device.getByText("Welcome to the shop")).toBeVisible();'
TAP = 'await device.getByText("Sign in", { exact: true }).tap();'
NOTE = """
  const fs = require("node:fs");
  for (const pid of [process.pid, process.ppid]) fs.writeFileSync(`${process.cwd()}/pids/${pid}`, "");
"""
HANG = f"{NOTE} await new Promise(() => {{}});"
HANG_ONCE = f"{NOTE} if (Object.values(JSON.parse(process.env.QGJOB_ATTEMPTS))[0] === 1) await new Promise(() => {{}});"
WAIT = f'{NOTE} while (!fs.existsSync("go")) await new Promise((again) => setTimeout(again, 50));'
LONG_S = 300


class Suite:
    """A project of specs, workers for it, and what became of its jobs."""

    def __init__(self, folder: Path, engine: Engine, services: Services, lab: Lab, home: Home) -> None:
        self.engine, self.lab, self.home = engine, lab, home
        self._services = services
        self.project = folder / "project"
        (self.project / "tests").mkdir(parents=True)
        (self.project / "pids").mkdir()
        (self.project / "node_modules").symlink_to(installed())
        (self.project / "appwright.config.ts").write_text((PROJECT / "appwright.config.ts").read_text())
        (self.project / ".appiumrc.json").write_text('{"server": {"base-path": "/wd/hub"}}')  # of servers of its own
        self.artifact: Artifact = build(folder)
        lab.start_server()

    def phone(self) -> FakeDevice:
        """There when workers start."""
        phone = self.lab.device()
        self.lab.wait(phone)
        return phone

    def spec(self, name: str, body: str) -> str:
        """A spec with one test; the path for its job."""
        return self.file(name, f'test("{name}", async ({{ device }}) => {{{body}}});')

    def file(self, name: str, content: str) -> str:
        path = self.project / "tests" / f"{name}.spec.ts"
        path.write_text(f'import {{ expect, test }} from "appwright";\n{content}\n')
        return path.relative_to(self.project).as_posix()

    def submit(self, *jobs: Any) -> int:
        run_id = int(self.engine.submit(*jobs).run_id)
        self.engine.rows(
            "insert into qgjob.artifact (org_id, app_version_id, platform, url, sha256, app_id, created_at) "
            "values ('acme', 'v1', 'android', %s, %s, %s, qgjob.now()) on conflict do nothing returning 1",
            self.artifact.url, self.artifact.sha256, self.artifact.app_id,
        )  # fmt: skip
        return run_id

    def start(self, name: str = "emu", *options: str) -> Child:
        return self._services.worker(
            name, "--backend", "adb", "--backend-setting", f"adb={self.lab.adb}", "--executor", "appwright",
            "--project", str(self.project), "--setting", "grace_s=3", *options,
        )  # fmt: skip

    def ended(self, run_id: int) -> bool:
        return wait_until(lambda: self.engine.run(run_id).finished_at is not None, LONG_S)

    def holds(self) -> bool:
        """A spec that notes its processes has begun."""
        return wait_until(lambda: len(self.pids()) >= 2, LONG_S)

    def go(self) -> None:
        (self.project / "go").touch()

    def pids(self) -> list[int]:
        return pids(self.project / "pids")

    def attempts(self) -> dict[str, list[str]]:
        """Of each spec, one after the other: `completed`, `cancelled`, or the kind of failure."""
        found: dict[str, list[str]] = {}
        for row in self.engine.rows(
            "select test_path, coalesce(failure_kind, status) as verdict from reporting.attempts "
            "order by job_id, number"
        ):
            found.setdefault(Path(row.test_path).name.partition(".")[0], []).append(row.verdict)
        return found

    def message(self, name: str) -> str:
        """Of the first failure."""
        rows = self.engine.rows(
            "select message from reporting.attempts where test_path = %s and status = 'failed' order by number",
            f"tests/{name}.spec.ts",
        )
        return str(rows[0].message)

    def nothing_is_left(self) -> None:
        assert all(gone(pid) for pid in self.pids()), "a process of a test is left"
        assert all(gone(server) for server in self.home.servers()), "an Appium server is left"


@pytest.fixture
def suite(tmp_path: Path, engine: Engine, services: Services, lab: Lab, home: Home) -> Suite:
    return Suite(tmp_path, engine, services, lab, home)


@pytest.fixture
def phone(suite: Suite) -> Iterator[FakeDevice]:
    yield suite.phone()
    suite.lab.run("devices")  # the server still lives: nothing has killed it by its name


def leaves(worker: Child) -> None:
    worker.process.terminate()
    assert worker.process.wait(60) == 0, worker.last_lines()


def test_specs_that_do_not_load_or_are_not_there_fail_and_the_others_run(suite: Suite, phone: FakeDevice) -> None:
    run = suite.submit(
        suite.spec("a", PASS),
        suite.file("b", "let x = ;"),
        "tests/nope.spec.ts",
        suite.file("c", 'import "./missing"; test("c", () => {});'),
        suite.file("d", "export const nothing = 0;"),
        suite.spec("e", PASS),
    )
    worker = suite.start()
    assert suite.ended(run), worker.last_lines(50)
    leaves(worker)
    assert suite.attempts() == {
        "a": ["completed"], "b": ["test"], "nope": ["test"], "c": ["test"], "d": ["test"], "e": ["completed"],
    }  # fmt: skip
    assert suite.message("nope") == "no such spec file: tests/nope.spec.ts"
    assert "Cannot find module './missing'" in suite.message("c")
    assert (suite.home.count("session"), phone.count("install")) == (1, 1)
    suite.nothing_is_left()


def test_a_test_that_crashes_hangs_or_throws_has_failed_and_says_why(suite: Suite, phone: FakeDevice) -> None:
    suite.home.fail({"when": "getScreenshot", "do": "refuse"})  # which hides none of these reasons
    run = suite.submit(
        suite.spec("crash", 'process.kill(process.pid, "SIGKILL");'),
        suite.spec("hang", "test.setTimeout(1500); await new Promise(() => {});"),
        suite.spec("own", 'throw new Error("connect ECONNREFUSED 127.0.0.1:9");'),
        suite.spec("pass", PASS),
    )
    worker = suite.start()
    assert suite.ended(run), worker.last_lines(50)
    leaves(worker)
    assert suite.attempts() == {"crash": ["test"], "hang": ["timeout"], "own": ["test"], "pass": ["completed"]}
    assert "worker process exited unexpectedly" in suite.message("crash")
    assert suite.message("own") == "Error: connect ECONNREFUSED 127.0.0.1:9"
    assert (suite.home.count("session"), suite.home.count("quit"), phone.count("install")) == (1, 1, 1)
    suite.nothing_is_left()


def test_a_runner_that_is_killed_loses_one_spec_and_the_session_lives_on(suite: Suite, phone: FakeDevice) -> None:
    run = suite.submit(suite.spec("a", PASS), suite.spec("b", HANG_ONCE), suite.spec("c", PASS), suite.spec("d", PASS))
    worker = suite.start()
    assert suite.holds(), worker.last_lines(50)
    os.kill(min(os.getpgid(pid) for pid in suite.pids()), signal.SIGKILL)
    assert suite.ended(run), worker.last_lines(50)
    leaves(worker)
    assert suite.attempts() == {
        "a": ["completed"], "b": ["infrastructure", "completed"], "c": ["completed"], "d": ["completed"],
    }  # fmt: skip
    assert suite.message("b") == "the test runner ended (SIGKILL) while this spec was running"
    assert suite.engine.value("select count(*) from qgjob.job where flaky") == 0
    assert (suite.home.count("session"), phone.count("install")) == (1, 1)
    suite.nothing_is_left()


def test_a_runner_that_dies_before_its_specs_again_and_again_is_given_up(suite: Suite, phone: FakeDevice) -> None:
    run = suite.submit(suite.spec("a", PASS))
    worker = suite.start()
    with (suite.project / "appwright.config.ts").open("a") as config:
        config.write('\nprocess.kill(process.pid, "SIGKILL");\n')
    assert wait_until(lambda: "a" in suite.attempts(), LONG_S), worker.last_lines(50)
    suite.engine.call("cancel_run", run_id=run)
    assert suite.ended(run), worker.last_lines(50)
    assert suite.message("a") == "The executor ended again and again without running this job."
    assert set(suite.attempts()["a"]) <= {"infrastructure", "cancelled"}
    assert phone.count("install") == 1


def test_a_hang_ends_with_the_job_s_time_and_the_next_has_the_same_session(suite: Suite, phone: FakeDevice) -> None:
    slow = {"test_path": suite.spec("a", HANG), "timeout_s": 2}
    run = suite.submit(slow, suite.spec("b", PASS), suite.spec("c", PASS), suite.spec("d", PASS))
    worker = suite.start()
    assert suite.ended(run), worker.last_lines(50)
    assert all(gone(pid) for pid in suite.pids())
    leaves(worker)
    assert suite.attempts() == {"a": ["timeout"], "b": ["completed"], "c": ["completed"], "d": ["completed"]}
    assert suite.message("a") == "Stopped after its time limit of 2 s."
    assert (suite.home.count("session"), phone.count("install")) == (1, 1)
    suite.nothing_is_left()


def test_a_run_that_is_cancelled_in_the_middle_keeps_its_results_and_frees_the_device(
    suite: Suite, phone: FakeDevice
) -> None:
    run = suite.submit(suite.spec("a", PASS), suite.spec("b", HANG), suite.spec("c", PASS), suite.spec("d", PASS))
    worker = suite.start()
    assert suite.holds(), worker.last_lines(50)
    suite.engine.call("cancel_run", run_id=run)
    assert suite.ended(run), worker.last_lines(50)
    assert all(gone(pid) for pid in suite.pids())
    attempts = suite.attempts()
    assert (attempts["a"], attempts["b"]) == (["completed"], ["cancelled"])
    assert (suite.engine.run(run).completed, suite.engine.run(run).cancelled) == (1, 3)
    # The device and its session serve the next.
    assert suite.ended(suite.submit(suite.spec("e", PASS))), worker.last_lines(50)
    leaves(worker)
    assert (suite.home.count("session"), suite.home.count("quit"), phone.count("install")) == (1, 1, 1)
    suite.nothing_is_left()


def test_a_waiting_job_that_is_cancelled_is_left_out(suite: Suite, phone: FakeDevice) -> None:
    paths = [suite.spec("a", WAIT), *(suite.spec(name, PASS) for name in "bcd")]
    run = suite.submit(*paths)
    worker = suite.start()
    assert suite.holds(), worker.last_lines(50)
    queued = suite.engine.rows("select job_id, test_path from qgjob.job where status = 'queued' order by job_id")
    assert queued, "the batch holds one job only"
    suite.engine.call("cancel_job", job_id=queued[0].job_id)
    suite.go()
    assert suite.ended(run), worker.last_lines(50)
    leaves(worker)
    left_out = Path(queued[0].test_path).name[0]
    assert suite.attempts() == {name: ["completed"] for name in "abcd" if name != left_out}
    assert (suite.home.count("session"), phone.count("install")) == (1, 1)
    suite.nothing_is_left()


def test_a_worker_that_drains_finishes_its_spec_gives_back_the_rest_and_ends_its_session(
    suite: Suite, phone: FakeDevice
) -> None:
    run = suite.submit(suite.spec("a", WAIT), *(suite.spec(name, PASS) for name in "bcd"))
    worker = suite.start()
    assert suite.holds(), worker.last_lines(50)
    worker.process.terminate()
    assert wait_until(lambda: "draining" in worker.last_lines(50), LONG_S)
    suite.go()
    assert worker.process.wait(LONG_S) == 0, worker.last_lines(50)
    assert suite.attempts() == {"a": ["completed"]}
    assert (suite.engine.run(run).completed, suite.engine.run(run).pending) == (1, 3)
    assert suite.engine.value("select sum(losses) from qgjob.job") == 0
    assert (suite.home.count("session"), suite.home.count("quit"), phone.count("install")) == (1, 1, 1)
    suite.nothing_is_left()


def test_a_device_that_is_unplugged_fails_no_test_and_another_takes_over(suite: Suite, phone: FakeDevice) -> None:
    run = suite.submit(suite.spec("a", HANG_ONCE), suite.spec("b", PASS))
    worker = suite.start()
    assert suite.holds(), worker.last_lines(50)
    suite.lab.unplug(phone)
    assert wait_until(lambda: "a" in suite.attempts(), LONG_S), worker.last_lines(50)
    heir = suite.lab.device()
    assert suite.ended(run), worker.last_lines(50)
    leaves(worker)
    assert suite.attempts() == {"a": ["infrastructure", "completed"], "b": ["completed"]}
    assert suite.message("a").startswith("The device was lost while this job was running.")
    assert (phone.count("install"), heir.count("install"), suite.home.count("session")) == (1, 1, 2)
    suite.nothing_is_left()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("die", "the session no longer exists"),
        ("gone", "the driver on the device has ended"),
        ("exit", "the server of the session does not answer"),
    ],
)
def test_a_session_that_is_lost_fails_no_test_and_another_is_opened(
    suite: Suite, phone: FakeDevice, fault: str, words: str
) -> None:
    run = suite.submit(suite.spec("a", WAIT + TAP), suite.spec("b", PASS))
    worker = suite.start()
    assert suite.holds(), worker.last_lines(50)
    suite.home.fail({"when": "click", "do": fault}, {"when": "getWindowRect", "do": fault})
    suite.go()
    # Losing a batch makes its device wait before it takes the next.
    assert wait_until(lambda: "a" in suite.attempts(), LONG_S), worker.last_lines(50)
    suite.home.fail()
    assert suite.ended(run), worker.last_lines(50)
    leaves(worker)
    attempts = suite.attempts()
    assert (attempts["a"][0], attempts["a"][-1], attempts["b"][-1]) == ("infrastructure", "completed", "completed")
    assert "test" not in attempts["a"] + attempts["b"]
    assert words in suite.message("a")
    assert suite.home.count("session") >= 2
    assert phone.count("install") <= 2
    suite.nothing_is_left()


def test_a_device_that_opens_no_session_costs_a_loss_and_no_verdict(suite: Suite, phone: FakeDevice) -> None:
    suite.home.fail({"when": "createSession", "do": "refuse"})
    run = suite.submit(suite.spec("a", PASS))
    worker = suite.start()
    assert wait_until(lambda: "a" in suite.attempts(), LONG_S), worker.last_lines(50)
    suite.home.fail()
    assert suite.ended(run), worker.last_lines(50)
    leaves(worker)
    assert suite.attempts()["a"][0] == "infrastructure"
    assert suite.attempts()["a"][-1] == "completed"
    assert "Appium opened no session" in suite.message("a")
    assert "All parallel tests are currently in use" in suite.message("a")
    suite.nothing_is_left()


def test_a_build_that_cannot_be_installed_fails_its_jobs_without_a_session(suite: Suite, phone: FakeDevice) -> None:
    phone.set(install_failures=["INSTALL_FAILED_INVALID_APK"])
    run = suite.submit(*(suite.spec(name, PASS) for name in "abcd"))
    worker = suite.start()
    assert suite.ended(run), worker.last_lines(50)
    leaves(worker)
    assert suite.attempts() == {name: ["test"] for name in "abcd"}
    assert "the file is not a sound APK: build it again" in suite.message("a")
    assert (suite.home.count("session"), phone.count("install")) == (0, 0)


def test_an_app_that_is_gone_is_installed_again_and_fails_no_test(suite: Suite, phone: FakeDevice) -> None:
    run = suite.submit(suite.spec("a", WAIT), *(suite.spec(name, PASS) for name in "bcd"))
    worker = suite.start()
    assert suite.holds(), worker.last_lines(50)
    suite.lab.run("-s", phone.serial, "uninstall", str(suite.artifact.app_id))
    suite.go()
    assert suite.ended(run), worker.last_lines(50)
    leaves(worker)
    attempts = suite.attempts()
    assert {kind for kinds in attempts.values() for kind in kinds} == {"completed", "infrastructure"}
    assert [kinds[-1] for kinds in attempts.values()] == ["completed"] * 4
    assert phone.count("install") == 2
    suite.nothing_is_left()


def test_what_a_killed_worker_leaves_is_taken_up_by_the_next(suite: Suite, phone: FakeDevice) -> None:
    run = suite.submit(suite.spec("a", PASS), suite.spec("b", HANG_ONCE), suite.spec("c", PASS), suite.spec("d", PASS))
    worker = suite.start("first", "--lease", "2")
    assert suite.holds(), worker.last_lines(50)
    worker.process.kill()
    worker.process.wait()
    suite.nothing_is_left()
    second = suite.start("second", "--lease", "2")
    assert suite.ended(run), second.last_lines(50)
    leaves(second)
    assert suite.attempts() == {
        "a": ["completed"], "b": ["infrastructure", "completed"], "c": ["completed"], "d": ["completed"],
    }  # fmt: skip
    assert (phone.count("install"), suite.home.count("session")) == (1, 2)  # the build was still there
    suite.nothing_is_left()
