"""The shipped workflows, executed as GitHub's runner does it, against a real API, real workers and a real database."""

import re
from pathlib import Path

import pytest
from engine import Engine
from github_expressions import condition, evaluate
from github_runner import Runner, legs, parsed
from processes import Services
from ruamel.yaml import YAML
from workspaces import CHECKOUT, Workspace, said

from qgjob.children import free_port

EXAMPLES = CHECKOUT / ".github" / "examples"


@pytest.fixture
def url(services: Services) -> str:
    url = services.api()
    services.worker("w")
    services.worker("phones", "--target", "device", "--label", "platform=android")
    return url


def test_the_example_with_the_action_ends_as_its_tests_do(url: str, services: Services, tmp_path: Path) -> None:
    services.worker("iphones", "--target", "device", "--label", "platform=ios")
    workspace = Workspace(tmp_path, url, stubs=("actions/checkout", "actions/upload-artifact"))
    (workspace.folder / "tests" / "checkout").mkdir()
    (workspace.folder / "tests" / "checkout" / "pay-fail.spec.js").touch()
    (job,) = workspace.runner.run(EXAMPLES / "run-tests-action.yml")
    assert job.result == "failure", job.log
    assert (job["tests"].outputs["failed"], job["tests"].outputs["passed"]) == ("2", "2")
    last = job.steps[-1]
    assert last.log == f"Run {job['tests'].outputs['run-id']} ended as failed.\n"
    assert job["actions/upload-artifact@v4"].outcome == "success"


def test_the_example_without_the_action_installs_and_submits(url: str, engine: Engine, tmp_path: Path) -> None:
    """With a `pip` that installs nothing: what it would install is on the PATH."""
    workspace = Workspace(tmp_path, url)
    client = workspace.runner.temp / "qgjob" / "bin"
    (client / "pip").write_text('#!/bin/sh\necho "$@"\n')
    (client / "pip").chmod(0o755)
    runner = Runner(
        workspace.folder,
        actions={},
        variables={"QGJOB_SERVER_URL": url},
        environment={"PATH": f"{client}:/usr/bin:/bin"},
    )
    (job,) = runner.run(EXAMPLES / "run-tests.yml")
    assert job.result == "success", job.log
    assert "install qgjob @ git+https://github.com/OWNER/qgjob@REVISION" in job.log
    assert engine.row("select app_version_id, status from reporting.jobs") == ("xyz123", "completed")


@pytest.mark.parametrize("where", ["README.md", ".github/examples/run-tests.yml"])
def test_cancelling_a_step_without_the_action_cancels_its_run(
    services: Services, engine: Engine, tmp_path: Path, where: str
) -> None:
    text = (CHECKOUT / where).read_text()
    (step,) = re.findall(r"^ +- (run: \|\n +pip install \"qgjob @ .*?)^ +env:", text, re.DOTALL | re.MULTILINE)
    workspace = Workspace(tmp_path, services.api())
    client = workspace.runner.temp / "qgjob" / "bin"
    (client / "pip").write_text("#!/bin/sh\n")
    (client / "pip").chmod(0o755)
    environment = {"PATH": f"{client}:/usr/bin:/bin", "QGJOB_SERVER_URL": workspace.url}
    runner = Runner(workspace.folder, actions={}, environment=environment)
    steps = [{"id": "tests", **YAML(typ="safe", pure=True).load(step)}]
    submitted = "select exists (select from qgjob.run)"
    (job,) = runner.run({"jobs": {"test": {"steps": steps}}}, cancel_when=lambda: bool(engine.value(submitted)))
    assert job["tests"].signals == ["SIGINT"], "it was gone before SIGTERM"
    assert engine.run(1).status == "cancelled", job.log


@pytest.mark.parametrize("works", [True, False])
def test_a_matrix_is_told_apart_and_judged_as_a_whole(url: str, engine: Engine, tmp_path: Path, works: bool) -> None:
    workspace = Workspace(tmp_path, url)
    for name in ("smoke/start", "checkout/pay" if works else "checkout/pay-fail"):
        (workspace.folder / "tests" / name).parent.mkdir(exist_ok=True)
        (workspace.folder / "tests" / f"{name}.spec.js").touch()
    smoke, checkout, verdict = workspace.runner.run(EXAMPLES / "run-tests-matrix.yml")
    assert (smoke.result, checkout.result) == ("success", "success" if works else "failure"), smoke.log + checkout.log
    assert verdict.result == checkout.result, "it runs whatever the others came to"
    assert engine.rows("select target, retries from reporting.jobs order by job_id") == [("emulator", 0), ("device", 1)]
    assert smoke["tests"].outputs["run-id"] != checkout["tests"].outputs["run-id"]


@pytest.mark.parametrize("submits", [True, False])
def test_the_detached_example_leaves_a_pending_status_or_an_error(
    url: str, engine: Engine, tmp_path: Path, submits: bool
) -> None:
    workspace = Workspace(tmp_path, url if submits else f"http://127.0.0.1:{free_port()}")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gh").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\necho "token $GH_TOKEN"\n')
    (tools / "gh").chmod(0o755)
    for hangs in (workspace.folder / "tests").glob("*-hang*"):
        hangs.unlink()
    workspace.runner._environment["PATH"] = f"{tools}:/usr/bin:/bin"
    (job,) = workspace.runner.run(EXAMPLES / "run-tests-detached.yml")
    assert job.result == ("success" if submits else "failure"), job.log
    pending, *rest = [step for step in job.steps if "repos/acme/app/statuses/0a1b2c3" in step.log]
    assert job.steps.index(pending) < job.steps.index(job["tests"]), "a verdict may be there before the next step"
    assert "state=pending" in pending.log
    assert "token ***" in job.log, "secrets are masked"
    contexts = {line for line in job.log.splitlines() if line.startswith("context=")}
    assert contexts == {"context=qgjob / Mobile tests / submit / tests 0"}
    if submits:
        assert rest == []
        labels = engine.run(int(job["tests"].outputs["run-id"])).labels
        named = [labels[f"github.{name}"] for name in ("workflow", "job", "step")]
        assert named == ["Mobile tests", "submit", "tests 0"], "so the receiver names it as the workflow does"
    else:
        assert "state=error" in rest[0].log


@pytest.mark.parametrize(("head", "result"), [("acme/app", "success"), ("mallory/app", "skipped")])
def test_a_fork_is_left_out_where_it_cannot_be_who_it_says(url: str, tmp_path: Path, head: str, result: str) -> None:
    event = {"pull_request": {"head": {"repo": {"full_name": head}, "sha": "feedbeef"}}}
    workspace = Workspace(tmp_path, url, github={"event_name": "pull_request", "event": event})
    for other in (workspace.folder / "tests").iterdir():
        if "login" not in other.name:
            other.unlink()
    (job,) = workspace.runner.run(EXAMPLES / "run-tests-oidc.yml")
    assert job.result == result, job.log


def test_the_workflow_that_tests_the_action_passes(url: str, tmp_path: Path) -> None:
    """All but the start of the service, which is this test's."""
    workspace = Workspace(tmp_path, url)
    samples = workspace.folder / "tests" / "samples" / "tests"
    samples.mkdir(parents=True)
    for name in ("login", "checkout", "coupon-fail"):
        (samples / f"{name}.spec.js").touch()
    workspace.runner._scripts["Start the service"] = f'echo "QGJOB_SERVER_URL={url}" >> "$GITHUB_ENV"'
    (job,) = workspace.runner.run(CHECKOUT / ".github" / "workflows" / "action-e2e.yml")
    assert job.result == "success", job.log
    outcomes = [(step.outcome, step.conclusion) for step in job.steps if step.inner]
    assert outcomes == [("success", "success"), ("failure", "success"), ("failure", "success")], said(job["homeless"])


# The runner itself: what the tests above rely on.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'a' == 'A'", True), ("1 == '1'", True), ("null == ''", True), ("'' || 'b'", "b"), ("'a' && 'b'", "b"),
        ("!('x' != 'x')", True), ("github.nothing.there", None), ("github.event['pull']", 7), ("2 < 10", True),
        ("contains('abc', 'b') && !startsWith('abc', 'B')", True), ("'it''s'", "it's"), ("fromJSON('[1]')", [1]),
    ],
)  # fmt: skip
def test_expressions_mean_what_they_mean_on_github(text: str, value: object) -> None:
    assert evaluate(text, {"github": {"event": {"pull": 7}}}) == value


@pytest.mark.parametrize(
    ("text", "status", "due"),
    [
        (None, "success", True), (None, "failure", False), ("always()", "cancelled", True),
        ("failure()", "failure", True), ("cancelled() && true", "cancelled", True), ("true", "cancelled", False),
        ("${{ !cancelled() }}", "failure", True), ("false", "success", False),
    ],
)  # fmt: skip
def test_conditions_ask_for_success_unless_they_say_otherwise(text: str | None, status: str, due: bool) -> None:
    assert condition(text, {"status": status}) is due


def test_what_is_not_understood_is_an_error() -> None:
    for text in ("secrets.x", "hashFiles('x')", "a b", "'x"):
        with pytest.raises((ValueError, IndexError)):
            evaluate(text, {"github": {}})


def test_a_matrix_is_the_product_less_and_more() -> None:
    matrix = {
        "os": ["a", "b"],
        "v": [1, 2],
        "exclude": [{"os": "b", "v": 1}],
        "include": [{"os": "a", "x": 9}, {"os": "c"}],
    }
    assert legs(matrix) == [
        {"os": "a", "v": 1, "x": 9}, {"os": "a", "v": 2, "x": 9}, {"os": "b", "v": 2}, {"os": "c"},
    ]  # fmt: skip
    assert legs({}) == [{}]


def test_outputs_of_several_lines_are_read_and_broken_ones_refused() -> None:
    assert parsed("a=1\nb<<END\nx=y\n\nEND\nc=\n") == {"a": "1", "b": "x=y\n", "c": ""}
    with pytest.raises(AssertionError, match="Unable to process"):
        parsed("nonsense\n")


def steps(tmp_path: Path, *given: dict[str, object], **options: object) -> Runner:
    runner = Runner(tmp_path / "w", actions={}, secrets={"KEY": "s3cret"})
    runner.job = runner.run({"jobs": {"j": {"env": {"KEY": "${{ secrets.KEY }}"}, "steps": list(given)}}})[0]  # type: ignore[attr-defined]
    return runner


def test_commands_are_obeyed_hidden_and_stopped(tmp_path: Path) -> None:
    job = steps(tmp_path, {"id": "a", "run": "\n".join((
        "echo ::error file=a%2Cb.js,line=3::no%0Ayes", "echo ' ::warning::indented'", "echo 'x ##[notice]old'",
        "echo ::stop-commands::T", "echo ::error::not this", "echo ::T::", "echo key $KEY",
        "echo ::add-mask::hidden", "echo hidden", "for n in 1 2 3 4 5 6 7 8 9 10 11; do echo ::error::$n; done",
    ))}).job  # type: ignore[attr-defined]  # fmt: skip
    first = job.annotations[0]
    assert (first.file, first.line, first.message) == ("a,b.js", "3", "no\nyes")
    assert [each.level for each in job.annotations].count("error") == 10, "GitHub shows no more"
    assert job.log == "::error::not this\nkey ***\n***\n"


def test_a_summary_that_is_too_large_is_lost(tmp_path: Path) -> None:
    job = steps(tmp_path, {"run": 'head -c 1100000 /dev/zero | tr "\\0" x > "$GITHUB_STEP_SUMMARY"'}).job  # type: ignore[attr-defined]
    assert job.summary == ""
    assert "upload aborted" in job.annotations[0].message


def test_only_the_first_process_of_a_step_is_signalled(tmp_path: Path) -> None:
    """A child hears nothing until the whole tree is killed; that is why the action replaces its shell."""
    runner = Runner(tmp_path / "w", actions={})
    ready = tmp_path / "w" / "ready"
    child = "import signal, time; signal.signal(signal.SIGINT, lambda *_: print('heard', flush=True)); " \
            "open('ready', 'w').close(); time.sleep(60)"  # fmt: skip
    script = f'trap "" TERM\npython3 -c "{child}" < /dev/null\necho after'
    (job,) = runner.run({"jobs": {"j": {"steps": [{"id": "a", "run": script}]}}}, cancel_when=ready.exists)
    assert job.result == "cancelled"
    assert job["a"].signals == ["SIGINT", "SIGTERM"]
    assert "heard" not in job.log
