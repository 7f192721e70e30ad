"""`qgjob cancel` and `retry`."""

import uuid
from typing import Annotated, Literal

import typer

from qgjob.cli import attending, following, options, output, settings, words
from qgjob.cli.options import OnInterrupt
from qgjob.cli.show import one_of
from qgjob.cli.submit import announce
from qgjob.errors import Exit, Usage
from qgjob.models.submission import RunSubmitted

CANCEL_EPILOG = options.examples("qgjob cancel --run-id=12", "qgjob cancel --job-id=34")
RETRY_EPILOG = options.examples("qgjob retry --run-id=12 --only=failed --wait", "qgjob retry --job-id=34")


def cancel(
    *,
    job_id: options.JobId = None,
    run_id: options.RunId = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Cancel a job or a run. What has already ended stays as it is, and that is a success too."""
    job_id, run_id = one_of(job_id, run_id)
    client = settings.connect(server_url)
    done = client.cancel_job(job_id) if job_id is not None else client.cancel_run(run_id or "")
    if as_json:
        output.answer_json("cancelled", done)
    elif done.cancelled or done.stopping or done.abandoned:
        stopping = f" · {done.stopping} running, being stopped" if done.stopping else ""
        left = words.count(done.abandoned, "job")
        others = f" · {left} left to other runs that wait for them" if done.abandoned else ""
        output.answer(f"Cancelled {words.count(done.cancelled, 'job')}{stopping}{others}")
    else:
        output.answer("Nothing to cancel: it had already ended")
    return Exit.OK


def retry(
    *,
    job_id: options.JobId = None,
    run_id: options.RunId = None,
    only: Annotated[
        Literal["failed", "all"] | None,
        typer.Option("--only", help="Of the run: failed, which is all that did not pass, or all.  [default: failed]"),
    ] = None,
    wait: options.Wait = False,
    timeout: options.Timeout = "60m",
    junit_xml: options.JunitXml = None,
    on_interrupt: options.Interrupt = OnInterrupt.detach,
    idempotency_key: options.Key = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Run a job, or the failed ones of a run, again."""
    job_id, run_id = one_of(job_id, run_id)
    if only is not None and job_id is not None:
        raise Usage("--only goes with --run-id")
    how = following.manner(
        timeout=timeout, on_interrupt=on_interrupt, junit_xml=junit_xml, quiet=quiet, as_json=as_json
    )
    client = settings.connect(server_url)
    key = idempotency_key or str(uuid.uuid4())
    if job_id is not None:
        job = client.retry_job(job_id, key=key)
        run = RunSubmitted(job.run_id, 1, int(job.deduplicated), replayed=False, job_ids=[job.job_id])
    else:
        run = client.retry_run(run_id or "", only=only or "failed", key=key)
    waits = wait or how.junit_xml is not None
    announce(run, waits=waits, as_json=as_json, quiet=quiet)
    if waits:
        return following.follow(client, run.run_id, how)
    attending.warn(client, run.run_id)
    return Exit.OK
