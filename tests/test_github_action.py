"""The shipped action, executed as GitHub's runner does it, against a real API, a real worker and a real database."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import github_runner
import pytest
from engine import Engine
from processes import Services
from stand_in import StandIn, problem, run, submitted
from workspaces import ACTION, Workspace, client_exit, said

from qgjob.children import free_port, wait_until


@pytest.fixture
def workspace(services: Services, tmp_path: Path) -> Workspace:
    url = services.api()
    services.worker("w")
    return Workspace(tmp_path, url)


def test_the_step_passes_when_every_test_passed_and_has_all_outputs(workspace: Workspace, engine: Engine) -> None:
    step = workspace.step("tests/log*.spec.js\n\n  tests/checkout.spec.js\n", junit_path="results.xml", priority="high")
    assert (step.outcome, client_exit(step)) == ("success", 0), said(step)
    ended = engine.run(int(step.outputs["run-id"]))
    assert (ended.app_version_id, ended.completed) == ("0a1b2c3", 2)
    report = workspace.folder / "results.xml"
    assert step.outputs == {
        "run-id": str(ended.run_id), "url": f"{workspace.url}/runs/{ended.run_id}", "conclusion": "passed",
        "total": "2", "passed": "2", "failed": "0", "flaky": "0", "infra": "0", "cancelled": "0",
        "installs": str(ended.installs), "minutes-saved": f"{ended.saved_s / 60:.1f}", "junit-path": str(report),
    }  # fmt: skip
    assert engine.value("select array_agg(distinct priority) from reporting.jobs") == ["high"]
    assert "testsuite" in report.read_text()


def test_the_step_fails_when_a_test_failed_and_says_which_and_where(workspace: Workspace) -> None:
    job = workspace.job("tests/*l.spec.js\ntests/login.spec.js\ntests/search-flaky.spec.js", retries="1")
    step = job.steps[0]
    assert (job.result, client_exit(step), step.outputs["conclusion"]) == ("failure", 1, "failed"), said(step)
    assert (step.outputs["failed"], step.outputs["passed"], step.outputs["flaky"]) == ("1", "2", "1")
    failed, flaky = (each for each in job.annotations if each.file)
    assert (failed.level, failed.file) == ("error", "tests/coupon-fail.spec.js")
    assert "the name says that it fails" in failed.message
    assert (flaky.level, flaky.file) == ("warning", "tests/search-flaky.spec.js")
    assert "tests/coupon-fail.spec.js" in said(step)
    assert [group.split(",")[0] for group in step.inner[1].groups] == [
        "failed: tests/coupon-fail.spec.js on emulator", "flaky: tests/search-flaky.spec.js on emulator",
    ]  # fmt: skip
    assert re.search(r"tests/coupon-fail.spec.js on w-\d, attempt 2", said(step)), "the end of its log"
    assert job.summary.startswith("### qgjob: [Run ")
    assert job.summary.index("#### Failed") < job.summary.index("#### Flaky")


def test_every_test_is_submitted_for_every_target(workspace: Workspace, engine: Engine) -> None:
    step = workspace.step("tests/login.spec.js", targets="emulator\ndevice:ios\n", timeout="1s", retries="2")
    assert (step.outcome, client_exit(step), step.outputs["conclusion"]) == ("failure", 124, "timed_out"), said(step)
    jobs = engine.rows("select target, selector, retries from reporting.jobs order by target")
    assert jobs == [("device", {"platform": "ios"}, 2), ("emulator", {}, 2)]


def test_tests_are_looked_for_in_the_working_directory(workspace: Workspace, engine: Engine) -> None:
    (workspace.folder / "mobile" / "specs").mkdir(parents=True)
    (workspace.folder / "mobile" / "specs" / "a-fail.spec.js").touch()
    job = workspace.job("specs/*.spec.js", working_directory="mobile")
    assert job.result == "failure"
    assert engine.value("select test_path from reporting.jobs") == "specs/a-fail.spec.js"
    assert [each.file for each in job.annotations if each.file] == ["mobile/specs/a-fail.spec.js"]


def test_the_project_file_is_heard_where_the_inputs_say_nothing(workspace: Workspace, engine: Engine) -> None:
    (workspace.folder / ".qgjob.toml").write_text('org_id = "globex"\npriority = "low"\nretries = 3\n')
    assert workspace.step("tests/login.spec.js", org_id="").outcome == "success"
    assert engine.row("select org_id, priority, retries from reporting.jobs") == ("globex", "low", 3)


def test_inputs_and_the_branch_are_never_run_as_commands(workspace: Workspace) -> None:
    hostile = "x\"; touch pwned; $(touch pwned) `touch pwned` '; touch pwned #"
    workspace.runner.github |= {"ref": f"refs/heads/{hostile}", "ref_name": hostile, "head_ref": hostile}
    for name in (
        "app_version_id", "org_id", "targets", "priority", "timeout", "retries", "junit_path", "on_cancel",
        "max_failures", "no_device_after", "on_lost_client", "rerun", "detach", "step_id",
    ):  # fmt: skip
        workspace.step("tests/login.spec.js", **{name: hostile})
    workspace.step(hostile)
    assert not (workspace.folder / "pwned").exists()


@pytest.mark.parametrize(("tests", "complaint"), [("", "no test to submit"), ("tests/none-*.js", "no file matches")])
def test_a_step_without_tests_fails_and_has_no_run(workspace: Workspace, tests: str, complaint: str) -> None:
    job = workspace.job(tests)
    assert (job.result, client_exit(job.steps[0])) == ("failure", 2)
    assert (job.steps[0].outputs["run-id"], job.steps[0].outputs["conclusion"]) == ("", "no_tests")
    assert complaint in said(job.steps[0])
    assert [each.title for each in job.annotations if each.title] == ["qgjob"]
    assert complaint in job.summary


def test_a_server_that_is_down_is_not_a_failed_test(tmp_path: Path) -> None:
    step = Workspace(tmp_path, f"http://127.0.0.1:{free_port()}").step("tests/login.spec.js")
    assert (step.outcome, client_exit(step), step.outputs["conclusion"]) == ("failure", 5, "unavailable")


def test_a_server_that_is_lost_while_waiting_is_no_time_out(workspace: Workspace, services: Services) -> None:
    def lost() -> bool:
        if workspace.has_run():
            services.stop("api")
            return True
        return False

    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run("running", running=1), problem(503, "gone", headers={"retry-after": "0"}))
        server.on("GET", "/runs/12/unserved", [])
        workspace.url = server.url
        step = workspace.step("tests/login.spec.js", timeout="2s")
    assert (client_exit(step), step.outputs["conclusion"]) == (5, "unavailable"), said(step)
    assert "the server was lost" in said(step)


def test_a_device_that_nobody_drives_ends_the_wait_and_is_told_apart(workspace: Workspace, engine: Engine) -> None:
    job = workspace.job("tests/login.spec.js", targets="emulator\nbrowserstack", no_device_after="1s")
    step = job.steps[0]
    assert (job.result, client_exit(step), step.outputs["conclusion"]) == ("failure", 3, "no_device"), said(step)
    assert (step.outputs["passed"], step.outputs["cancelled"]) == ("1", "1")
    words = "no live worker drives a device for browserstack (1 job)"
    assert words in said(step)
    assert any(words in each.message for each in job.annotations)
    assert "no live worker drives a device for browserstack" in job.summary


def test_a_failed_test_wins_over_a_device_that_nobody_drives(workspace: Workspace) -> None:
    step = workspace.step("tests/coupon-fail.spec.js", targets="emulator\nbrowserstack", no_device_after="1s")
    assert (client_exit(step), step.outputs["conclusion"]) == (1, "failed"), said(step)


def test_tests_that_were_lost_are_infrastructure(workspace: Workspace) -> None:
    step = workspace.step("tests/native-crash.spec.js")
    assert (client_exit(step), step.outputs["conclusion"], step.outputs["infra"]) == (3, "infrastructure", "1")


def test_somebody_who_cancels_the_run_elsewhere_does_not_make_it_green(workspace: Workspace, engine: Engine) -> None:
    cancelled: list[int] = []

    def once_it_runs() -> bool:
        if not cancelled and workspace.has_run() and is_running(engine):
            cancelled.append(engine.value("select max(run_id) from qgjob.run"))
            engine.call("cancel_run", run_id=cancelled[0])
        return False

    step = workspace.step("tests/video-hang.spec.js", once_it_runs)
    assert (step.outcome, client_exit(step), step.outputs["conclusion"]) == ("failure", 3, "cancelled"), said(step)


def test_enough_failures_cancel_the_rest_and_stay_a_failure(workspace: Workspace, engine: Engine) -> None:
    step = workspace.step("tests/coupon-fail.spec.js\ntests/video-hang.spec.js", max_failures="1")
    assert (client_exit(step), step.outputs["conclusion"]) == (1, "failed"), said(step)
    assert (step.outputs["failed"], step.outputs["cancelled"]) == ("1", "1")
    assert "stopped after 1 failure (--max-failures=1)" in said(step)


def is_running(engine: Engine) -> bool:
    return bool(engine.value("select exists (select from reporting.jobs where status = 'running')"))


@pytest.mark.parametrize("signals", [True, False])
@pytest.mark.parametrize("on_cancel", ["cancel", "detach"])
def test_cancelling_the_workflow_does_to_the_run_what_was_asked_for(
    workspace: Workspace, engine: Engine, on_cancel: str, signals: bool
) -> None:
    """Without signals, as older runners do it, the last step of the action has to do what the client could not."""
    job = workspace.job(
        "tests/login.spec.js\ntests/video-hang.spec.js",
        lambda: workspace.has_run() and is_running(engine) and finished(engine) == 1,
        signals=signals,
        on_cancel=on_cancel,
        junit_path="results.xml",
    )
    step = job.steps[0]
    assert job.result == "cancelled", said(step)
    assert step.inner[1].signals == (["SIGINT"] if signals else []), "it was gone before SIGTERM"
    assert step.outputs["conclusion"] == ("interrupted" if signals else "")
    run_id = int(step.outputs["run-id"])
    if signals:
        assert (step.outputs["passed"], step.outputs["total"]) == ("1", "2")
        assert 'tests/login.spec.js"' in (workspace.folder / "results.xml").read_text(), "partial results are kept"
        assert "1 passed" in job.summary
    if on_cancel == "cancel":
        assert wait_until(lambda: engine.run(run_id).status == "cancelled", 7), said(step)
        assert engine.run(run_id).completed == 1
        assert wait_until(lambda: engine.value("select count(*) from qgjob.batch where ended_at is null") == 0, 7), (
            "its devices are free"
        )
    else:
        assert engine.run(run_id).status == "running"


def finished(engine: Engine) -> int:
    return int(engine.value("select count(*) from reporting.jobs where status = 'completed'"))


def test_a_run_that_the_client_could_not_cancel_in_time_is_left_to_the_last_step(tmp_path: Path) -> None:
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run("running", running=1))
        server.on("POST", "/runs/12/cancel", problem(503, "down"))
        workspace = Workspace(tmp_path, server.url)
        step = workspace.step("tests/login.spec.js", lambda: bool(server.asked("GET", "/runs/12")))
    assert (step.outcome, step.outputs["conclusion"]) == ("cancelled", "interrupted")
    assert "could not be cancelled" in said(step)
    assert [inner.name for inner in step.inner if inner.outcome != "skipped"] == [
        "Install the client", "Submit the tests and wait", "Cancel the run",
    ]  # fmt: skip


def test_a_runner_that_is_lost_ends_its_run(workspace: Workspace, engine: Engine) -> None:
    killed: list[int] = []

    def once_it_runs() -> bool:
        process = workspace.runner.process
        if not killed and workspace.has_run() and is_running(engine) and process:
            killed.append(process.pid)
            process.kill()
        return False

    step = workspace.step("tests/video-hang.spec.js", once_it_runs)
    assert (client_exit(step), step.outputs["conclusion"]) == (-signal.SIGKILL, "")
    run_id = int(step.outputs["run-id"])
    assert engine.run(run_id).status == "running"
    # Two minutes later.
    engine.rows("update qgjob.run set client_until = qgjob.now() - interval '1 s' returning 1")
    assert wait_until(lambda: bool(engine.rows("select from qgjob.client_watch")), 30)
    engine.rows("update qgjob.client_watch set since = qgjob.now() - interval '1 hour' returning 1")
    assert wait_until(lambda: engine.run(run_id).status == "cancelled", 30)
    assert engine.run(run_id).lost_client


def test_a_client_that_waits_is_never_lost(workspace: Workspace, engine: Engine) -> None:
    """Its long-polls say that it is there, so its time is always in the future."""
    waits: list[bool] = []

    def held() -> bool:
        if workspace.has_run() and is_running(engine):
            waits.append(engine.value("select client_until > qgjob.now() + interval '80 s' from qgjob.run"))
        return bool(waits)

    workspace.step("tests/video-hang.spec.js", held, on_lost_client="cancel")
    assert waits == [True]


def test_a_run_that_may_go_on_without_its_client_is_not_held(workspace: Workspace, engine: Engine) -> None:
    assert workspace.step("tests/login.spec.js", on_lost_client="detach").outcome == "success"
    assert workspace.step("tests/checkout.spec.js", detach="true").outcome == "success"
    step = workspace.step("tests/video-hang.spec.js", timeout="1s")
    assert step.outputs["conclusion"] == "timed_out"
    assert engine.rows("select from qgjob.run where client_until is not null") == [], "each goes on"


def test_a_detached_step_says_nothing_about_the_tests(workspace: Workspace, engine: Engine) -> None:
    step = workspace.step("tests/coupon-fail.spec.js", detach="true", step_id=300 * "n")
    assert (step.outcome, step.outputs["conclusion"], step.outputs["total"]) == ("success", "submitted", "1")
    run_id = int(step.outputs["run-id"])
    assert wait_until(lambda: engine.run(run_id).status == "failed", 30)
    labels = engine.run(run_id).labels
    assert (labels["github.repository"], labels["github.sha"]) == ("acme/app", "0a1b2c3")
    assert labels["github.step"] == 255 * "n", "as much of it as a label holds"


def test_running_failed_jobs_again_runs_only_what_did_not_pass(workspace: Workspace, engine: Engine) -> None:
    first = workspace.step("tests/login.spec.js\ntests/coupon-fail.spec.js")
    workspace.again()
    second = workspace.step("tests/login.spec.js\ntests/coupon-fail.spec.js")
    assert (second.outputs["conclusion"], second.outputs["total"]) == ("failed", "1"), said(second)
    assert f"running only what did not pass in run {first.outputs['run-id']}" in said(second)
    paths = "select array_agg(test_path order by job_id) from reporting.jobs"
    assert engine.value(paths) == ["tests/login.spec.js", "tests/coupon-fail.spec.js", "tests/coupon-fail.spec.js"]
    workspace.again()
    assert workspace.step("tests/login.spec.js\ntests/coupon-fail.spec.js", rerun="all").outputs["total"] == "2"


def test_what_has_passed_is_run_again_as_a_whole(workspace: Workspace) -> None:
    workspace.step("tests/login.spec.js\ntests/checkout.spec.js")
    workspace.again()
    assert workspace.step("tests/login.spec.js\ntests/checkout.spec.js").outputs["total"] == "2"


def test_running_again_what_was_never_finished_waits_for_it_first(workspace: Workspace, services: Services) -> None:
    """Its results count, or an earlier attempt that timed out would hide its failures."""
    tests = "tests/login.spec.js\ntests/coupon-fail.spec.js"
    first = workspace.step(tests, timeout="1s", targets="device")
    assert first.outputs["conclusion"] == "timed_out"
    workspace.again()
    services.worker("phones", "--target", "device")
    second = workspace.step(tests, targets="device")
    assert (second.outputs["conclusion"], second.outputs["total"]) == ("failed", "1"), said(second)
    assert f"running only what did not pass in run {first.outputs['run-id']}" in said(second)


def test_devices_are_looked_for_while_an_earlier_attempt_is_waited_for(workspace: Workspace, engine: Engine) -> None:
    first = workspace.step("tests/login.spec.js", targets="browserstack", timeout="1s")
    workspace.again()
    second = workspace.step("tests/login.spec.js", targets="browserstack", no_device_after="1s")
    assert (client_exit(second), second.outputs["conclusion"]) == (3, "no_device"), said(second)
    assert second.outputs["run-id"] == first.outputs["run-id"]
    assert engine.value("select count(*) from qgjob.run") == 1, "one more would wait for the same device"


def test_enough_failures_of_an_earlier_attempt_end_the_wait_for_it(workspace: Workspace) -> None:
    tests = "tests/coupon-fail.spec.js\ntests/video-hang.spec.js"
    first = workspace.step(tests, timeout="4s")
    assert (client_exit(first), first.outputs["conclusion"]) == (124, "timed_out"), said(first)
    assert first.outputs["failed"] == "1", "what failed so far is told, although the run goes on"
    workspace.again()
    second = workspace.step(tests, max_failures="1")
    assert (second.outputs["conclusion"], second.outputs["total"]) == ("failed", "2"), said(second)
    assert said(second).count("stopped after 1 failure") == 2


def test_a_step_that_is_sent_again_creates_nothing(workspace: Workspace, engine: Engine) -> None:
    first = workspace.step("tests/login.spec.js\ntests/checkout.spec.js")
    second = workspace.step("tests/login.spec.js\ntests/checkout.spec.js")
    assert second.outputs == first.outputs
    other = workspace.step("tests/login.spec.js\ntests/checkout.spec.js", id="more")
    assert other.outputs["run-id"] != first.outputs["run-id"], "another step of the job is another run"
    assert engine.value("select count(*) from qgjob.run") == 2


@pytest.mark.parametrize("tool", ["uv", "pip"])
def test_the_client_is_installed_from_the_actions_own_revision(tool: str, tmp_path: Path) -> None:
    if tool == "uv":
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    step = github_runner.read(ACTION / "action.yml")["runs"]["steps"][0]
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    if tool == "pip":
        path = only_python(tmp_path)
    done = subprocess.run(
        [*github_runner.SHELLS["bash"], "-c", step["run"]],
        env=os.environ | {"PATH": path, "RUNNER_TEMP": str(tmp_path), "GITHUB_ACTION_PATH": str(ACTION)},
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
