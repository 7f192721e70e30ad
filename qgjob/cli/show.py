"""`qgjob status`, `list` and `why`: what became of jobs and runs."""

import math
from typing import Annotated

import typer

from qgjob.cli import following, naming, options, output, settings, verdict, waiting, words
from qgjob.cli.attending import Lookout
from qgjob.cli.paging import page_of, say_more
from qgjob.cli.progress import counts, progress
from qgjob.client import Client
from qgjob.errors import Exit, Usage
from qgjob.models.attempts import Attempt
from qgjob.models.jobs import Job
from qgjob.transport import Params

STATUS_EPILOG = options.examples(
    "qgjob status --job-id=34", "qgjob status --run-id=12 --watch", "qgjob status --job-id=34 --attempts --json"
)
LIST_EPILOG = options.examples(
    "qgjob list --org-id=qualgent --status=running --limit=10",
    "qgjob list --org-id=qualgent --status=failed --since=24h --json",
    "qgjob list --org-id=qualgent --test='tests/checkout/**'",
)
WHY_EPILOG = options.examples("qgjob why --job-id=34", "qgjob why --run-id=12", "qgjob why --job-id=34 --json")


def one_of(job_id: str | None, run_id: str | None) -> tuple[str | None, str | None]:
    """Exactly one of --job-id and --run-id."""
    if (job_id is None) == (run_id is None):
        raise Usage("give one of --job-id and --run-id")
    return job_id, run_id


def status(
    *,
    job_id: options.JobId = None,
    run_id: options.RunId = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Until it has ended; then the exit code is the verdict.")
    ] = False,
    attempts: Annotated[
        bool, typer.Option("--attempts", help="Of a job, also its attempts: where their time went, their files.")
    ] = False,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Show a job or a run. Exit code 0 means found; with --watch it is the verdict."""
    job_id, run_id = one_of(job_id, run_id)
    if attempts and job_id is None:
        raise Usage("--attempts goes with --job-id")
    client = settings.connect(server_url)
    if job_id is not None:
        return show_job(client, job_id, watch=watch, attempts=attempts, as_json=as_json)
    run = client.run(run_id or "")
    if watch:
        left = following.only_watched(f"run {run.run_id}", run_id=run.run_id, again=waiting.resume(run.run_id))
        with left, progress(quiet=False) as shown:
            run = waiting.until_run_ends(
                client, run.run_id, timeout_s=math.inf, progress=shown, attendant=Lookout(client)
            )
    if run.status in verdict.ENDED:
        found = verdict.outcome(client, run)
        if as_json:
            output.answer_json("run", verdict.data(found))
        else:
            output.answer(verdict.summary(found))
        return verdict.of_run(run) if watch else Exit.OK
    if as_json:
        output.answer_json("run", run)
        return Exit.OK
    asked: Params = [("org_id", run.org_id), ("run_id", run.run_id), ("limit", 50)]
    page = client.jobs(asked)
    output.answer(f"Run {run.run_id} {run.status} · build {output.one_line(run.app_version_id)} · {counts(run)}")
    output.answer(job_table(page.jobs))
    say_more("list", asked=asked, next_cursor=page.next_cursor)
    return Exit.OK


def show_job(client: Client, job_id: str, *, watch: bool, attempts: bool, as_json: bool) -> int:
    job = client.job(job_id)
    if watch and job.status not in verdict.ENDED:
        again = f"qgjob status --job-id={job.job_id} --watch"
        left = following.only_watched(f"job {job.job_id}", run_id=job.run_id, again=again)
        with left, progress(quiet=False) as shown:
            job = waiting.until_job_ends(client, job_id, progress=shown, attendant=Lookout(client, job=job))
    if as_json and attempts:
        output.answer_json("job_attempts", {"job": job, "attempts": client.attempts(job_id)})
    elif as_json:
        output.answer_json("job", job)
    else:
        output.answer(job_text(job))
        if attempts or job.attempts > 1:
            output.answer("\n" + attempt_table(client.attempts(job_id)))
    return verdict.of_job(job) if watch else Exit.OK


def attempt_table(attempts: list[Attempt]) -> str:
    rows = [
        (
            str(one.number),
            one.status,
            one.failure_kind or "",
            one.device,
            *map(words.duration, (one.queue_s, one.install_s, one.session_s, one.batch_s)),
            *map(words.duration, (one.reset_s, one.body_s, one.upload_s)),
            str(len(one.files) or ""),
            words.duration(one.duration_s),
            output.said(one.message or ""),
        )
        for one in attempts
    ]
    head = "ATTEMPT STATUS KIND DEVICE QUEUED INSTALL SESSION BATCH RESET TEST UPLOAD FILES TOOK MESSAGE"
    return output.table(head, rows)


def job_text(job: Job) -> str:
    state: str = job.status
    if job.failure_kind:
        state += f" ({job.failure_kind})"
    if job.flaky:
        state += " (flaky)"
    if job.cancel_requested and job.status not in verdict.ENDED:
        state += " (being cancelled)"
    return output.fields(
        [
            ("job", str(job.job_id)),
            ("status", state),
            ("message", output.said(job.message or "")),
            ("test", job.test_path),
            ("organisation", job.org_id),
            ("build", job.app_version_id),
            ("target", words.target(job.target, job.selector)),
            ("priority", job.priority),
            ("run", str(job.run_id)),
            ("retry of", str(job.retry_of or "")),
            ("device", job.device),
            ("worker", job.worker),
            ("attempts", str(job.attempts or "")),
            ("created", words.moment(job.created_at)),
            ("started", words.moment(job.started_at)),
            ("finished", words.moment(job.finished_at)),
            ("took", None if job.duration_s is None else words.duration(job.duration_s)),
        ]
    )


def job_table(jobs: list[Job]) -> str:
    rows = [
        (
            str(job.job_id),
            job.status,
            words.target(job.target, job.selector),
            job.priority,
            str(job.run_id),
            job.app_version_id,
            job.test_path,
            words.moment(job.created_at) or "",
            words.duration(job.duration_s),
            verdict.reason(job),
        )
        for job in jobs
    ]
    headings = "JOB STATUS TARGET PRIORITY RUN BUILD TEST CREATED TOOK WHY"
    return output.table(headings, rows)


def list_jobs(
    *,
    org_id: options.OrgId = None,
    status: Annotated[list[options.StatusName] | None, typer.Option("--status", help="Repeats.")] = None,
    target: Annotated[options.TargetName | None, typer.Option("--target")] = None,
    app_version_id: Annotated[
        str | None, typer.Option("--app-version-id", metavar="BUILD", help="Jobs of this build.")
    ] = None,
    run_id: options.RunId = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Created in the last 24h, 7d, …, or since a date.")
    ] = None,
    test: Annotated[
        str | None, typer.Option("--test", metavar="PATH|GLOB", help="Jobs of this spec; in a quoted glob: *, **, ?.")
    ] = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    as_json: options.Json = False,
    quiet: options.IdsOnly = False,
    server_url: options.ServerUrl = None,
) -> int:
    """List jobs of an organisation, newest first."""
    org = settings.organisation(org_id)
    asked: list[tuple[str, str | int]] = [("org_id", org), *(("status", name.value) for name in status or [])]
    asked += [("target", target.value)] if target is not None else []
    asked += [("app_version_id", app_version_id)] if app_version_id is not None else []
    asked += [("run_id", run_id)] if run_id is not None else []
    asked += [("since", words.since(since))] if since is not None else []
    asked += [("test", test)] if test is not None else []
    asked += [("limit", limit)]
    client = settings.connect(server_url)
    page = client.jobs(page_of(asked, cursor))
    if not page.jobs:
        naming.note_unknown(client, org)
    if as_json:
        output.answer_json("jobs", page)
    elif page.jobs:
        output.answer("\n".join(str(job.job_id) for job in page.jobs) if quiet else job_table(page.jobs))
    else:
        output.say("no job matches")
    if not quiet:
        say_more("list", asked=asked, next_cursor=page.next_cursor)
    return Exit.OK


def why(
    *,
    job_id: options.JobId = None,
    run_id: options.RunId = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Say what a job waits for, which device will probably run it when; or why it ran where it did. Of a run, what its
    jobs wait for."""
    job_id, run_id = one_of(job_id, run_id)
    client = settings.connect(server_url)
    if job_id is None:
        return show_waiting(client, run_id or "", as_json=as_json)
    found = client.why(job_id)
    if as_json:
        output.answer_json("why", found)
        return Exit.OK
    waits = found.status == "pending"
    output.answer(
        output.fields(
            [
                ("job", str(found.job_id)),
                ("status", found.status),
                ("why", found.reason),
                ("ahead", words.count(found.jobs_ahead, "job") + " of its group" if waits else None),
                ("work ahead", words.duration(found.work_ahead_s) if waits and found.jobs_ahead else None),
                ("groups ahead", str(found.groups_ahead) if waits and found.groups_ahead else None),
                (
                    "devices",
                    f"{found.devices_on_group} on its group, {found.devices_fitting} that fit" if waits else None,
                ),
                ("probably on", found.predicted_device),
                ("starts in", None if found.predicted_start_s is None else words.duration(found.predicted_start_s)),
            ]
        )
    )
    return Exit.OK


def show_waiting(client: Client, run_id: str, *, as_json: bool) -> int:
    """What many jobs wait for is said once: of the first of them, and of how many."""
    found = client.waiting(run_id)
    if as_json:
        output.answer_json("waiting", found)
        return Exit.OK
    rows = [
        (
            str(each.jobs),
            each.status,
            words.target(each.target, each.selector),
            str(each.job_id),
            "" if each.predicted_start_s is None else words.duration(each.predicted_start_s),
            each.predicted_device or "",
            each.reason,
        )
        for each in found
    ]
    output.rows("JOBS STATUS TARGET FIRST STARTS_IN ON WHY", rows, empty=f"no job of run {run_id} waits")
    return Exit.OK
