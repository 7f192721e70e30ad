"""Annotations and the job summary of a step: useful at any size, and inert whatever tests say."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import stand_in
from github_runner import Annotation, Runner, Step
from stand_in import Result, StandIn, failure, page, problem, qgjob, run, submitted

CI = ("ci", "--org-id=qualgent", "--app-version-id=v1", "--test=a")
HOSTILE = (
    "tests/x|`<b>\n::error::planted\n##[add-mask]planted\n::stop-commands::y\x1b[2J[a](http://evil)@ann,line=9::%0A"
    "\u2028\u200f\u061cwww.evil.example.js"
)


def step_of(result: Result, summary: Path) -> Step:
    """The step as GitHub's runner sees what the client wrote."""
    step = Step("run", "run")
    Runner(summary.parent / "w", actions={})._read_log(result.stdout + result.stderr, step)
    step.summary = summary.read_text()
    return step


def reported(
    tmp_path: Path, ended: dict[str, Any], failures: list[dict[str, Any]], *flags: str
) -> tuple[Result, Step, list[Any]]:
    summary = tmp_path / "summary.md"
    summary.write_text("what an earlier command wrote\n")
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", ended)
        server.on("GET", "/jobs", page())
        server.on("GET", "/runs/12/failures", failures)
        result = qgjob(
            *CI, *flags, server=server, cwd=tmp_path, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary),
            GITHUB_WORKSPACE=str(tmp_path),
        )  # fmt: skip
    return result, step_of(result, summary), server.requests


def test_a_failure_is_an_annotation_at_its_line_and_a_row_of_the_summary(tmp_path: Path) -> None:
    video = {"video_url": "https://videos.example.com/1?token=a_b", "video_offset_s": 12.0}
    failures = [failure(attempts=2, **video), failure("flaky", test_path="tests/b.js", line=None)]
    _, step, _ = reported(tmp_path, run("failed", failed=1, completed=2, flaky=1, attempts=4, installs=1), failures)
    assert step.annotations == [
        Annotation(
            "error", "Expected: 6.2\nReceived: 5.58 (2 attempts)", "tests/checkout.spec.js", "7",
            "failed: tests/checkout.spec.js on emulator",
        ),
        Annotation("warning", "Expected: 6.2\nReceived: 5.58", "tests/b.js", None, "flaky: tests/b.js on emulator"),
    ]  # fmt: skip
    lines = step.summary.splitlines()
    assert lines[0] == "what an earlier command wrote"
    assert lines[1].startswith("### qgjob: [Run 12 failed](http://127.0.0.1:")
    (row,) = [line for line in lines if "checkout" in line]
    assert "<code>tests/checkout.spec.js&#58;7</code>" in row
    assert "Expected&#58; 6.2, Received&#58; 5.58" in row
    assert "| 2 | lab-1 | <code>v1</code> | [video](https://videos.example.com/1?token=a_b) at 12 s |" in row
    assert "#### Flaky: passed after a failure" in lines
    assert "1 installation for 4 attempts, instead of one each: 0.0 s of device time saved." in lines


def test_of_many_failures_the_worst_eight_are_annotations_and_one_tells_of_the_rest(tmp_path: Path) -> None:
    failures = [failure(test_path=f"tests/{number}.js") for number in range(12)]
    failures += [failure("infrastructure", test_path="tests/lost.js")]
    _, step, _ = reported(tmp_path, run("failed", failed=13, infrastructure=1), failures)
    assert len(step.annotations) == 9, "and the tenth is the runner's own"
    assert step.annotations[-1].message == "… and 5 more that did not simply pass; see the job summary"
    assert step.summary.count("| emulator |") == 13


def test_a_summary_ends_before_githubs_limit_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    failures = [failure(test_path=f"tests/{'ж' * 400}{number}.js", message="я" * 4000) for number in range(500)]
    _, step, _ = reported(tmp_path, run("failed", failed=3000), failures)
    rows = step.summary.count("| emulator |")
    assert 100 < rows < 3000
    assert len(step.summary.encode()) < 1024 * 1024
    assert f"… and {3000 - rows} more" in step.summary


def test_nothing_that_a_test_is_called_or_says_is_obeyed(tmp_path: Path) -> None:
    failures = [failure(test_path=HOSTILE, message=HOSTILE, title=HOSTILE, device=HOSTILE, log_tail=HOSTILE)]
    result, step, _ = reported(tmp_path, run("failed", failed=1), failures)
    assert result.exit == 1
    shown = re.sub("\x1b\\[2J|[\u2028\u200f\u061c]", "", HOSTILE)
    assert [(each.level, each.file) for each in step.annotations] == [("error", shown)]
    assert step.annotations[0].line == "7"
    assert "planted" in step.log, "it is shown, as text"
    assert "\x1b" not in result.stdout + result.stderr
    row = next(line for line in step.summary.splitlines() if "planted" in line)
    for markup in ("<b>", "`", "http://", "@ann", "[a]", "www."):
        assert markup not in row
    assert row.count(" | ") == 6


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a.b/) <b>", "https://[", "//x", "data:text/html,x"])
def test_a_video_that_is_no_address_is_no_link(tmp_path: Path, url: str) -> None:
    _, step, _ = reported(tmp_path, run("failed", failed=1), [failure(video_url=url)])
    assert "javascript" not in step.summary
    assert "<b>" not in step.summary
    assert "](data" not in step.summary


def test_with_json_stdout_is_one_document_and_no_command(tmp_path: Path) -> None:
    result, step, _ = reported(tmp_path, run("failed", failed=1), [failure(message="##[error]x")], "--json")
    assert json.loads(result.stdout)["data"]["verdict"] == "failed"
    assert step.annotations == []
    assert "#### Failed" in step.summary


@pytest.mark.parametrize(
    "variables",
    [
        {"QGJOB_PRIORITY": "bogus"}, {"QGJOB_RETRIES": "99"}, {"QGJOB_RETRIES": "x"}, {"QGJOB_MAX_FAILURES": "0"},
        {"QGJOB_TIMEOUT": "soon"}, {"QGJOB_NO_DEVICE_AFTER": "soon"}, {"QGJOB_ON_CANCEL": "keep"},
        {"QGJOB_ON_LOST_CLIENT": "x"}, {"QGJOB_RERUN": "some"}, {"QGJOB_DETACH": "maybe"}, {"QGJOB_TARGETS": "phone"},
        {"QGJOB_JUNIT_XML": "no/such/results.xml"}, {"QGJOB_JUNIT_XML": "a" * 300}, {"QGJOB_SERVER_URL": ""},
        {"QGJOB_TESTS": "a" * 300 + "*.js"}, {"QGJOB_SERVER_URL": f"http://{'a' * 70}.example"},
        {"QGJOB_TOKEN": "qg_a\nb"}, {"QGJOB_RETRY_FOR": "soon"},
    ],
)  # fmt: skip
def test_an_input_that_means_nothing_has_a_conclusion_an_annotation_and_a_summary(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    (tmp_path / "a.js").touch()
    outputs, summary = tmp_path / "outputs", tmp_path / "summary.md"
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(summary)}
    environment |= {"QGJOB_SERVER_URL": "http://127.0.0.1:1", "QGJOB_TESTS": "a.js"} | variables
    result = qgjob("ci", "--org-id=o", "--app-version-id=v", cwd=tmp_path, **environment)
    assert (result.exit, outputs.read_text()) == (2, "conclusion=invalid\n"), result.stderr
    (annotation,) = step_of(result, summary).annotations
    said = result.stderr.splitlines()[0].removeprefix("error: ")
    assert annotation.message.startswith(said)
    assert summary.read_text().startswith("### qgjob: ")


def test_what_would_help_is_told_where_people_look(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    with StandIn() as server:
        server.on("POST", "/runs", problem(403, "No such trust", hint="qgjob trust add makes one"))
        result = qgjob(*CI, server=server, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    (annotation,) = step_of(result, summary).annotations
    assert annotation.message == "No such trust\nhint: qgjob trust add makes one"
    assert "qgjob trust add makes one" in summary.read_text()


def test_a_fault_of_the_client_itself_is_an_end_too(tmp_path: Path) -> None:
    outputs, summary = tmp_path / "outputs", tmp_path / "summary.md"
    broken = "import qgjob.cli.selection as s, qgjob.__main__ as m\ns.jobs = lambda *_: 1 / 0\nm.main()"
    done = subprocess.run(
        [sys.executable, "-c", broken, *CI],
        env=stand_in.environment(None, {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(outputs),
                                        "GITHUB_STEP_SUMMARY": str(summary)}),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 70
    assert outputs.read_text() == "conclusion=no_verdict\n"
    assert "a bug in qgjob" in done.stdout
    assert "a bug in qgjob" in summary.read_text()


def test_failures_that_cannot_be_read_do_not_change_the_verdict(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    with StandIn() as server:
        server.on("POST", "/runs", submitted(34))
        server.on("GET", "/runs/12", run("failed", failed=1))
        server.on("GET", "/jobs", page())
        result = qgjob(*CI, server=server, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert result.exit == 1
    assert "warning: the failures could not be read" in result.stderr
    assert "1 failed" in summary.read_text()


def test_a_run_whose_client_was_lost_says_so(tmp_path: Path) -> None:
    result, step, _ = reported(tmp_path, run("cancelled", cancelled=1, lost_client=True), [failure("cancelled")])
    assert result.exit == 3
    assert "the client that waited for it was not heard of any more" in step.annotations[0].message
    assert "#### Cancelled" in step.summary
