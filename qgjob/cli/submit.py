"""`qgjob submit`: one atomic request for all tests, and, if wanted, the wait for their verdict."""

import uuid
from typing import Annotated, Any

import msgspec
import typer

from qgjob.cli import attending, following, junit, options, output, settings, words
from qgjob.cli import selection as select
from qgjob.cli.following import Manner
from qgjob.cli.options import OnInterrupt
from qgjob.cli.selection import ManifestDefaults
from qgjob.cli.settings import Project
from qgjob.cli.waiting import resume
from qgjob.client import Client
from qgjob.errors import Exit, NotWritten, Signalled, Usage
from qgjob.models.submission import JobDefaults, RunSubmission, RunSubmitted
from qgjob.models.words import Reset

EPILOG = options.examples(
    "qgjob submit --org-id=qualgent --app-version-id=xyz123 --test=tests/onboarding.spec.js",
    "qgjob submit --org-id=qualgent --app-version-id=v1.2.3 --test='tests/**/*.spec.js' \\",
    "    --target=emulator --target=device:ios --priority=high --wait --junit-xml=results.xml",
    "git diff --name-only main -- tests | qgjob submit --org-id=qualgent --app-version-id=v1.2.3 --tests-from=-",
    "",
    "A manifest (TOML or JSON):",
    "",
    "defaults = {targets = ['emulator'], retries = 1}",
    "tests = [{path = 'tests/checkout/*.spec.js', priority = 'high', timeout_s = 600}]",
)


def complete_target(incomplete: str) -> list[str]:
    known = [*select.TARGETS, *(f"{target}:{platform}" for target in select.TARGETS for platform in ("android", "ios"))]
    return [target for target in known if target.startswith(incomplete)]


def submit(
    *,
    org_id: options.OrgId = None,
    app_version_id: Annotated[
        str | None,
        typer.Option("--app-version-id", envvar="QGJOB_APP_VERSION_ID", metavar="BUILD", help="The build to test."),
    ] = None,
    test: options.Test = None,
    tests_from: options.TestsFrom = None,
    manifest: options.Manifest = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="TARGET",
            autocompletion=complete_target,
            help="emulator, device or browserstack, and which: device:ios, browserstack:platform=android,region=eu. "
            "Repeats: every test runs on every target.  [default: emulator]",
        ),
    ] = None,
    priority: options.JobPriority = None,
    retries: options.Retries = None,
    job_timeout: Annotated[
        str | None, typer.Option("--job-timeout", metavar="TIME", help="Stop a job after this long, for example 15m.")
    ] = None,
    reset: Annotated[Reset | None, typer.Option("--reset", help="What is done to the app between two jobs.")] = None,
    label: options.Labels = None,
    no_dedupe: Annotated[
        bool, typer.Option("--no-dedupe", help="Run again what another unfinished run already runs.")
    ] = False,
    wait: options.Wait = False,
    timeout: options.Timeout = "60m",
    junit_xml: options.JunitXml = None,
    on_interrupt: options.Interrupt = OnInterrupt.detach,
    idempotency_key: options.Key = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be submitted; nothing is sent.")] = False,
    allow_empty: Annotated[bool, typer.Option("--allow-empty", help="No test to run is fine: exit 0.")] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Submit tests of a build. All of them are one run."""
    project = settings.project()
    if test is None and tests_from is None and manifest is None:
        raise Usage("no tests given", hint="give --test, --tests-from or --manifest")
    flags = ManifestDefaults(
        targets=target or None,
        priority=priority,
        timeout_s=None if job_timeout is None else job_seconds(job_timeout),
        retries=retries,
        reset=reset,
        dedupe=False if no_dedupe else None,
    )
    usual = project.targets or ["emulator"]
    plan, jobs = select.planned(test, tests_from, manifest, flags, usual, allow_empty=allow_empty)
    how = following.manner(
        timeout=timeout, on_interrupt=on_interrupt, junit_xml=junit_xml, quiet=quiet, as_json=as_json
    )
    select.refuse_too_many(jobs)
    if not jobs:
        return nothing_to_submit(how, allowed=allow_empty)
    submission = RunSubmission(
        org_id=settings.required("org_id", org_id, plan.org_id, project.org_id),
        app_version_id=settings.required("app_version_id", app_version_id, plan.app_version_id, project.app_version_id),
        jobs=jobs,
        defaults=merged(flags, plan.defaults, project),
        labels={**project.labels, **plan.labels, **select.parse_labels(label or [])},
    )
    checked(submission, RunSubmission)
    if not quiet:
        select.say_missing(jobs)
    if dry_run:
        show_plan(submission, as_json=as_json)
        return Exit.OK
    client = settings.connect(server_url, submission.org_id)
    waits = wait or how.junit_xml is not None
    run_id = sent(client, submission, idempotency_key or str(uuid.uuid4()), how, waits=waits)
    if waits:
        return following.follow(client, run_id, how)
    attending.warn(client, run_id)
    return Exit.OK


def nothing_to_submit(how: Manner, *, allowed: bool) -> Exit:
    if not allowed:
        raise Usage("no test to submit", hint="--allow-empty makes this a success", code="no_tests")
    if how.junit_xml is not None:
        junit.write(how.junit_xml, junit.EMPTY)
    if how.as_json:
        output.answer_json("submitted", None)
    output.say("nothing to submit")
    return Exit.OK


def sent(client: Client, submission: RunSubmission, key: str, how: Manner, *, waits: bool) -> int:
    """The id of the run, which was told. Who is interrupted in between leaves in good order, as far as it is known."""
    run: RunSubmitted | None = None
    try:
        run = client.submit_run(submission, key=key)
        announce(run, waits=waits, as_json=how.as_json, quiet=how.quiet)
    except Signalled as signalled:
        run_id = run.run_id if run else None
        if run_id is None and waits and how.on_interrupt is OnInterrupt.cancel:
            run_id = following.found_after(client, submission.org_id, key)
        if waits and run_id is not None:
            raise following.leave(client, run_id, signalled, how) from None
        if run_id is None:
            output.say(f"interrupted while submitting; --idempotency-key={key} would return the run if it exists")
        raise
    return run.run_id


def merged(flags: ManifestDefaults, plan: ManifestDefaults, project: Project) -> JobDefaults:
    """The run's defaults: flag, then manifest, then project file. What nobody says is the server's to decide."""
    job_timeout_s = None if project.job_timeout is None else job_seconds(project.job_timeout)
    retries = (value for value in (flags.retries, plan.retries, project.retries) if value is not None)
    return JobDefaults(
        priority=flags.priority or plan.priority or project.priority,
        retries=next(retries, None),
        timeout_s=flags.timeout_s or plan.timeout_s or job_timeout_s,
        reset=flags.reset or plan.reset or project.reset,
        dedupe=plan.dedupe if flags.dedupe is None else flags.dedupe,
    )


def job_seconds(text: str) -> int:
    """A whole number of seconds, at least one."""
    seconds = round(words.seconds(text, option="--job-timeout"))
    if seconds < 1:
        raise Usage(f"--job-timeout {text!r} is less than a second")
    return seconds


def checked(said: object, shape: Any, *, to: str = "submit") -> None:
    """The limits that the shapes state, said before anything is sent. The rest is the server's to judge."""
    try:
        msgspec.json.decode(msgspec.json.encode(said), type=shape)
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise Usage(f"cannot {to} this: {error}") from error


def announce(run: RunSubmitted, *, waits: bool, as_json: bool, quiet: bool) -> None:
    """The run's id, what became of it, and the command to type next. The id is in the error where stdout is full."""
    try:
        tell(run, waits=waits, as_json=as_json, quiet=quiet)
    except NotWritten as error:
        error.run_id, error.hint = run.run_id, f"run {run.run_id} was submitted: {resume(run.run_id)}"
        raise


def tell(run: RunSubmitted, *, waits: bool, as_json: bool, quiet: bool) -> None:
    single = run.job_ids[0] if len(run.job_ids) == 1 else None
    parts = [f"Run {run.run_id} was submitted before with this key" if run.replayed else f"Submitted run {run.run_id}"]
    parts.append(f"job {single}" if single is not None else words.count(run.total, "job"))
    if run.deduplicated:
        parts.append(f"{run.deduplicated} deduplicated")
    text = " · ".join(parts)
    if waits:
        if quiet and not as_json:
            output.answer(str(run.run_id))
        elif not quiet:
            output.say(text)
        return
    if as_json:
        output.answer_json("submitted", run)
    elif quiet:
        output.answer(str(run.run_id))
    else:
        output.answer(text)
        output.say(f"next: qgjob status --job-id={single}" if single is not None else f"next: {resume(run.run_id)}")


def show_plan(submission: RunSubmission, *, as_json: bool) -> None:
    if as_json:
        output.answer_json("submission", submission)
        return
    rows = [
        (
            job.test_path,
            words.target(job.target or "", job.selector or {}),
            job.priority or submission.defaults.priority or "",
        )
        for job in submission.jobs
    ]
    output.answer(output.table("TEST TARGET PRIORITY", rows))
    output.say(f"{words.count(len(rows), 'job')} of build {submission.app_version_id}; nothing was sent")
