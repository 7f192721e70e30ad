"""`qgjob ci`: one step of a CI pipeline. Submit, wait, report, and leave nothing behind that nobody waits for.

Every flag can come from the environment, so that no shell has to put a command line together.
"""

import os
import time
import uuid
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer

from qgjob.cli import following, github, options, output, settings, submit, verdict, words
from qgjob.cli import selection as select
from qgjob.cli.attending import Attendant, warn
from qgjob.cli.following import Manner
from qgjob.cli.naming import number_of
from qgjob.cli.options import OnInterrupt
from qgjob.cli.reporting import Report
from qgjob.cli.selection import ManifestDefaults, ManifestTest
from qgjob.client import Client
from qgjob.errors import Exit, Signalled, Usage
from qgjob.models.submission import RunSubmission
from qgjob.models.words import Priority

EPILOG = options.examples(
    "qgjob ci --org-id=qualgent --app-version-id=v1.2.3 --test='tests/**/*.spec.js' --target=emulator",
    "QGJOB_TESTS='tests/login.spec.js' QGJOB_ORG_ID=qualgent qgjob ci --max-failures=5 --junit-xml=results.xml",
    "qgjob ci --org-id=qualgent --test='tests/*.spec.js' --only-failed-of=12",
)
# Several long-polls and the pauses between them while the server restarts.
CLIENT_TIMEOUT_S = 120


class Rerun(StrEnum):
    """What a job of GitHub Actions runs when somebody has it run again."""

    failed = "failed"
    all = "all"


def ci(
    *,
    org_id: options.OrgId = None,
    app_version_id: Annotated[
        str | None,
        typer.Option(
            "--app-version-id",
            envvar="QGJOB_APP_VERSION_ID",
            metavar="BUILD",
            help="The build to test.  [default: GITHUB_SHA]",
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option("--test", metavar="PATH|GLOB", help="A spec file, or a quoted glob. Repeats. Or QGJOB_TESTS."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            autocompletion=submit.complete_target,
            help="As for submit. Repeats. Or QGJOB_TARGETS, one a line.  [default: emulator]",
        ),
    ] = None,
    priority: Annotated[
        Priority | None, typer.Option("--priority", envvar="QGJOB_PRIORITY", help="Within the organisation.")
    ] = None,
    retries: Annotated[
        int | None,
        typer.Option(
            "--retries", envvar="QGJOB_RETRIES", min=0, max=10, help="Run a failed test again up to so many times."
        ),
    ] = None,
    label: options.Labels = None,
    timeout: Annotated[
        str,
        typer.Option(
            "--timeout", envvar="QGJOB_TIMEOUT", metavar="TIME", help="Wait at most this long. The run goes on."
        ),
    ] = "60m",
    max_failures: Annotated[
        int | None,
        typer.Option(
            "--max-failures", envvar="QGJOB_MAX_FAILURES", min=1, help="Cancel the rest after so many failed tests."
        ),
    ] = None,
    no_device_after: Annotated[
        str,
        typer.Option(
            "--no-device-after",
            envvar="QGJOB_NO_DEVICE_AFTER",
            metavar="TIME",
            help="Give up when for so long no worker drives a device that the tests could run on.",
        ),
    ] = "10m",
    junit_xml: Annotated[
        str | None,
        typer.Option("--junit-xml", envvar="QGJOB_JUNIT_XML", metavar="FILE", help="Write the results as JUnit XML."),
    ] = None,
    on_cancel: Annotated[
        OnInterrupt,
        typer.Option("--on-cancel", envvar="QGJOB_ON_CANCEL", help="What SIGINT or SIGTERM does to the run."),
    ] = OnInterrupt.cancel,
    on_lost_client: Annotated[
        OnInterrupt,
        typer.Option(
            "--on-lost-client",
            envvar="QGJOB_ON_LOST_CLIENT",
            help="What becomes of the run when this command is gone without a word for two minutes.",
        ),
    ] = OnInterrupt.cancel,
    detach: Annotated[
        bool, typer.Option("--detach", envvar="QGJOB_DETACH", help="Submit, and do not wait: exit 0 is no verdict.")
    ] = False,
    rerun: Annotated[
        Rerun,
        typer.Option(
            "--rerun",
            envvar="QGJOB_RERUN",
            help="Where GitHub runs a job again: only what did not pass in its earlier attempt, or all of it.",
        ),
    ] = Rerun.failed,
    only_failed_of: Annotated[
        str | None,
        typer.Option(
            "--only-failed-of",
            envvar="QGJOB_ONLY_FAILED_OF",
            metavar="RUN_ID",
            help="Run only what did not pass in this run.",
            callback=number_of("run", "qgjob runs"),
        ),
    ] = None,
    step: Annotated[
        str,
        typer.Option("--step", envvar="QGJOB_STEP", metavar="NAME", help="Tells steps of one GitHub job apart."),
    ] = "",
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key",
            metavar="KEY",
            help="Submitting again with this key returns the first answer. Default: the step of GitHub, or random.",
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Run tests as a step of CI: submit, wait, report.

    In GitHub Actions it also writes the step's outputs, annotations and the job summary, and a step that is sent again
    finds its run. The exit code is the verdict.
    """
    report = Report(speaks=not as_json)
    with report.of_any_end():
        report.server_url = settings.chosen_server_url(server_url)
        how = following.manner(
            timeout=timeout, on_interrupt=on_cancel, junit_xml=junit_xml, quiet=quiet, as_json=as_json
        )
        how.asks = False  # many a CI system gives its steps a terminal, and nobody sits at it
        report.junit_xml = how.junit_xml
        if on_lost_client is OnInterrupt.cancel and not detach:
            how.client_timeout_s = CLIENT_TIMEOUT_S
        no_device_s = words.seconds(no_device_after, option="--no-device-after")
        submission = planned(org_id, app_version_id, test, target, priority, retries, label, step)
        submission.client_timeout_s = how.client_timeout_s
        client = report.client = settings.connect(server_url)
        if not quiet:
            select.say_missing(submission.jobs)
        key = idempotency_key or github.key(submission, step=step, attempt=github.attempt()) or str(uuid.uuid4())
        earlier = only_failed_of or (earlier_run(client, submission, step) if rerun is Rerun.failed else None)
        attend = partial(Attendant, client, max_failures=max_failures, no_device_s=no_device_s)
        report.attendant = attend()
        run_id = begin(client, submission, key, how, earlier, report, attend, waits=not detach)
        report.submitted(run_id)
        if detach:
            report.detached(len(submission.jobs))
            warn(client, run_id)
            return Exit.OK
        run = following.wait(client, run_id, how, report.attendant)
        code = following.tell(client, run, how)
        report.ended(run, code)
        return code


def planned(
    org_id: str | None,
    app_version_id: str | None,
    test: list[str] | None,
    target: list[str] | None,
    priority: Priority | None,
    retries: int | None,
    label: list[str] | None,
    step: str,
) -> RunSubmission:
    """What to submit, by flags, environment and the project file."""
    project = settings.project()
    flags = ManifestDefaults(
        targets=target or select.listed(os.environ.get("QGJOB_TARGETS", "")) or None,
        priority=priority,
        retries=retries,
    )
    tests = [ManifestTest(path=path) for path in test or select.listed(os.environ.get("QGJOB_TESTS", ""))]
    jobs = select.jobs(tests, project.targets or ["emulator"], ManifestDefaults(), flags)
    if not jobs:
        raise Usage("no test to submit", hint="give --test, or QGJOB_TESTS with one a line", code="no_tests")
    select.refuse_too_many(jobs)
    submission = RunSubmission(
        org_id=settings.required("org_id", org_id, project.org_id),
        app_version_id=settings.required(
            "app_version_id", app_version_id, project.app_version_id, os.environ.get("GITHUB_SHA")
        ),
        jobs=jobs,
        defaults=submit.merged(flags, ManifestDefaults(), project),
        labels={**project.labels, **github.labels(step), **select.parse_labels(label or [])},
    )
    submit.checked(submission, RunSubmission)
    return submission


def earlier_run(client: Client, submission: RunSubmission, step: str) -> str | None:
    """The run of this step in the latest earlier attempt that got as far as having one, unless all of it passed: then
    it is run again on purpose, and as a whole."""
    for attempt in range(github.attempt() - 1, 0, -1):
        key = github.key(submission, step=step, attempt=attempt)
        run = client.run_of_key(submission.org_id, key) if key else None
        if run is not None:
            passed = run.status in verdict.ENDED and verdict.of_run(run) is Exit.OK
            return None if passed else str(run.run_id)
    return None


def begin(
    client: Client,
    submission: RunSubmission,
    key: str,
    how: Manner,
    earlier: str | None,
    report: Report,
    attend: Callable[[], Attendant],
    *,
    waits: bool,
) -> int:
    """The run to wait for: a new one; what did not pass in an earlier one; or that one, where all of it has passed or
    nobody drives a device for the rest. Waiting for an earlier one takes from the time that there is."""
    try:
        if earlier is None:
            run = client.submit_run(submission, key=key)
        else:
            before = client.run(earlier)
            report.submitted(before.run_id)
            if before.status not in verdict.ENDED:
                output.say(f"run {before.run_id} of the earlier attempt goes on: waiting for it")
                began = time.monotonic()
                before = following.wait(client, before.run_id, how, report.attendant)
                how.timeout_s -= time.monotonic() - began
                if report.attendant is not None and report.attendant.no_device:
                    return before.run_id
            report.attendant = attend()  # what the one before has seen was of another run
            if verdict.of_run(before) is Exit.OK:
                output.say(f"all of run {before.run_id} has passed: nothing to run again")
                return before.run_id
            output.say(f"running only what did not pass in run {before.run_id}")
            run = client.retry_run(before.run_id, only="failed", key=key, client_timeout_s=submission.client_timeout_s)
    except Signalled as signalled:
        if waits and how.on_interrupt is OnInterrupt.cancel:
            run_id = following.found_after(client, submission.org_id, key)
            if run_id is not None:
                report.submitted(run_id)
                raise following.leave(client, run_id, signalled, how) from None
        output.say(f"interrupted while submitting; --idempotency-key={key} would return the run if it exists")
        raise
    submit.announce(run, waits=waits, as_json=how.as_json, quiet=how.quiet)
    return run.run_id
