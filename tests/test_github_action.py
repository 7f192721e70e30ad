"""The shipped action, step by step, against a real API, a real worker and a real database."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import composite_action
import pytest
from composite_action import Done
from engine import Engine
from processes import Services
from stand_in import StandIn, problem, run, submitted

from qgjob.children import wait_until
from qgjob.postgres import free_port


class Workspace:
    """A checkout on a runner that has the client already."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder / "workspace"
        self.url = url
        (self.folder / "tests").mkdir(parents=True)
        for name in ("login", "checkout", "coupon-fail", "video-hang"):
            (self.folder / "tests" / f"{name}.spec.js").touch()
        client = folder / "temp" / "qgjob" / "bin" / "qgjob"
        client.parent.mkdir(parents=True)
        client.write_text(f'#!/bin/sh\nexec {sys.executable} -m qgjob "$@"\n')
        client.chmod(0o755)
        self.environment = {"RUNNER_TEMP": str(folder / "temp"), "CI": "true", "QGJOB_RETRY_FOR": "0"}

    def run(
        self, tests: str, cancel_when: Callable[[], bool] | None = None, *, signals: bool = True, **inputs: str
    ) -> Done:
        given = {"server-url": self.url, "org-id": "qualgent", "tests": tests}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        return composite_action.execute(self.folder, given, self.environment, cancel_when=cancel_when, signals=signals)

    def has_run(self) -> bool:
        return any("run-id=" in file.read_text() for file in self.folder.parent.glob("outputs-*"))


@pytest.fixture
def workspace(services: Services, tmp_path: Path) -> Workspace:
    url = services.api()
    services.worker("w")
    return Workspace(tmp_path, url)


def test_the_step_passes_when_every_test_passed(workspace: Workspace, engine: Engine) -> None:
    done = workspace.run("tests/log*.spec.js\n\n  tests/checkout.spec.js\n", junit_path="results.xml", priority="high")
    assert (done.result, done.exit) == ("success", 0), done.log
    ended = engine.run(int(done.outputs["run-id"]))
    assert done.outputs["conclusion"] == "passed"
    assert (ended.app_version_id, ended.completed) == ("0a1b2c3", 2)
    assert engine.value("select array_agg(distinct priority) from reporting.jobs") == ["high"]
    assert "testsuite" in (workspace.folder / "results.xml").read_text()


def test_the_step_fails_when_a_test_failed_and_says_which(workspace: Workspace) -> None:
    done = workspace.run("tests/*l.spec.js\ntests/login.spec.js")
    assert (done.result, done.exit, done.outputs["conclusion"]) == ("failure", 1, "failed"), done.log
    assert "tests/coupon-fail.spec.js" in done.log


def test_every_test_is_submitted_for_every_target(workspace: Workspace, engine: Engine) -> None:
    done = workspace.run("tests/login.spec.js", targets="emulator\ndevice:ios\n", timeout="1s", retries="2")
    assert (done.result, done.exit, done.outputs["conclusion"]) == ("failure", 124, "timed_out"), done.log
    jobs = engine.rows("select target, selector, retries from reporting.jobs order by target")
    assert jobs == [("device", {"platform": "ios"}, 2), ("emulator", {}, 2)]


def test_tests_are_looked_for_in_the_working_directory(workspace: Workspace, engine: Engine) -> None:
    (workspace.folder / "mobile" / "specs").mkdir(parents=True)
    (workspace.folder / "mobile" / "specs" / "a.spec.js").touch()
    assert workspace.run("specs/*.spec.js", working_directory="mobile").result == "success"
    assert engine.value("select test_path from reporting.jobs") == "specs/a.spec.js"


def test_the_project_file_is_heard_where_the_inputs_say_nothing(workspace: Workspace, engine: Engine) -> None:
    (workspace.folder / ".qgjob.toml").write_text('org_id = "globex"\npriority = "low"\nretries = 3\n')
    assert workspace.run("tests/login.spec.js", org_id="").result == "success"
    assert engine.row("select org_id, priority, retries from reporting.jobs") == ("globex", "low", 3)


def test_inputs_are_never_run_as_commands(workspace: Workspace) -> None:
    hostile = "x\"; touch pwned; $(touch pwned) `touch pwned` '; touch pwned #"
    for name in ("app_version_id", "org_id", "targets", "priority", "timeout", "retries", "junit_path", "on_interrupt"):
        workspace.run("tests/login.spec.js", **{name: hostile})
    workspace.run(hostile)
    assert not (workspace.folder / "pwned").exists()


@pytest.mark.parametrize(("tests", "complaint"), [("", "no test to submit"), ("tests/none-*.js", "no file matches")])
def test_a_step_without_tests_fails_and_has_no_run(workspace: Workspace, tests: str, complaint: str) -> None:
    done = workspace.run(tests)
    assert (done.result, done.exit) == ("failure", 2)
    assert done.outputs == {"run-id": "", "conclusion": ""}
    assert complaint in done.log


def test_a_server_that_is_down_is_not_a_failed_test(tmp_path: Path) -> None:
    done = Workspace(tmp_path, f"http://127.0.0.1:{free_port()}").run("tests/login.spec.js")
    assert (done.result, done.exit, done.outputs["conclusion"]) == ("failure", 5, "unavailable")


@pytest.mark.parametrize("signals", [True, False])
@pytest.mark.parametrize("on_interrupt", ["cancel", "detach"])
def test_cancelling_the_workflow_does_to_the_run_what_was_asked_for(
    workspace: Workspace, engine: Engine, on_interrupt: str, signals: bool
) -> None:
    """Without signals, as older runners do it, the last step of the action has to do what the client could not."""

    def is_running() -> bool:
        if not workspace.has_run():  # a signal that comes earlier finds no run to cancel
            return False
        return bool(engine.value("select exists (select from reporting.jobs where status = 'running')"))

    done = workspace.run("tests/video-hang.spec.js", is_running, signals=signals, on_interrupt=on_interrupt)
    assert done.result == "cancelled", done.log
    assert done.outputs["conclusion"] == ("interrupted" if signals else "")
    run_id = int(done.outputs["run-id"])
    if on_interrupt == "cancel":
        assert wait_until(lambda: engine.run(run_id).status == "cancelled", 10), done.log
    else:
        assert engine.run(run_id).status == "running"


def test_a_run_that_the_client_could_not_cancel_in_time_is_left_to_the_last_step(tmp_path: Path) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run("running", running=1))
        server.on("POST", "/runs/12/cancel", problem(503, "down"))
        workspace = Workspace(tmp_path, server.url)
        done = workspace.run("tests/login.spec.js", lambda: bool(server.asked("GET", "/runs/12")))
    assert (done.result, done.outputs["conclusion"]) == ("cancelled", "interrupted")
    assert "could not be cancelled" in done.log
    assert done.steps == ["Install the client", "Submit the tests and wait", "Cancel the run"]


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_the_client_is_installed_from_the_actions_own_revision(tool: str, tmp_path: Path) -> None:
    if tool == "uv":
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    step = composite_action.read()["runs"]["steps"][0]
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    if tool == "pip":
        path = only_python(tmp_path)
    done = subprocess.run(
        [*composite_action.SHELL, "-c", step["run"]],
        env=os.environ
        | {"PATH": path, "RUNNER_TEMP": str(tmp_path), "GITHUB_ACTION_PATH": str(composite_action.ACTION.parent)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if re.search("No matching distribution|Failed to fetch|error sending request", done.stderr):
        pytest.skip("the build backend cannot be had here")
    assert done.returncode == 0, done.stderr
    client = tmp_path / "qgjob" / "bin" / "qgjob"
    assert subprocess.run([client, "--version"], capture_output=True, check=True).stdout.startswith(b"qgjob ")


def only_python(folder: Path) -> str:
    """A PATH with this Python and no uv."""
    commands = folder / "commands"
    commands.mkdir()
    (commands / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (commands / "python3").chmod(0o755)
    for name in ("bash", "sh"):
        (commands / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    return str(commands)
