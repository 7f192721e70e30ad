"""`qgjob groups`, `workers`, `stats` and `health`: how the service does."""

from typing import Annotated

import typer

from qgjob.cli import naming, options, output, settings, words
from qgjob.errors import Exit

GROUPS_EPILOG = options.examples("qgjob groups --org-id=qualgent")
WORKERS_EPILOG = options.examples("qgjob workers", "qgjob workers drain 3")
DRAIN_EPILOG = options.examples("qgjob workers drain lab-1", "qgjob workers drain 3")
STATS_EPILOG = options.examples("qgjob stats", "qgjob stats --org-id=qualgent --json")
HEALTH_EPILOG = options.examples("qgjob health", "qgjob health --wait-for=60s && qgjob submit …")

workers_app = typer.Typer(rich_markup_mode=None)


def groups(*, org_id: options.OrgId = None, as_json: options.Json = False, server_url: options.ServerUrl = None) -> int:
    """List the groups of unfinished jobs that share an installation."""
    client, org = settings.connect(server_url), org_id or settings.project().org_id
    found = client.groups(org)
    if not found:
        naming.note_unknown(client, org)
    if as_json:
        output.answer_json("groups", found)
        return Exit.OK
    rows = [
        (
            str(group.group_id),
            group.org_id,
            group.app_version_id,
            words.target(group.target, group.selector),
            group.reset,
            group.priority,
            str(group.pending),
            str(group.queued),
            str(group.running),
            str(group.devices),
            words.moment(group.oldest_at) or "",
        )
        for group in found
    ]
    headings = "GROUP ORG BUILD TARGET RESET PRIORITY PENDING QUEUED RUNNING DEVICES OLDEST"
    output.rows(headings, rows, empty="no group has unfinished jobs")
    return Exit.OK


@workers_app.callback(invoke_without_command=True, epilog=WORKERS_EPILOG)
def workers(
    context: typer.Context,
    *,
    every: options.All = False,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """List workers; `workers drain` lets one finish and end."""
    if context.invoked_subcommand is not None:
        return Exit.OK
    found = settings.connect(server_url).workers(every=every)
    if as_json:
        output.answer_json("workers", found)
        return Exit.OK
    rows = [
        (
            str(worker.worker_id),
            worker.name,
            worker.status,
            ",".join(worker.targets),
            str(worker.devices),
            worker.version,
            words.moment(worker.started_at) or "",
            words.moment(worker.seen_at) or "",
        )
        for worker in found
    ]
    output.rows(
        "WORKER NAME STATUS TARGETS DEVICES VERSION STARTED SEEN",
        rows,
        empty="no worker is registered",
    )
    return Exit.OK


@workers_app.command(epilog=DRAIN_EPILOG)
def drain(
    worker: Annotated[
        str, typer.Argument(metavar="NAME|ID", help="As `qgjob workers` lists it.", callback=naming.given)
    ],
    *,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Let a worker finish its running tests, hand back the rest, and end."""
    client = settings.connect(server_url)

    def named() -> list[tuple[str, int]]:  # of a name that was used again, the ones before have ended
        return [(one.name, one.worker_id) for one in client.workers() if one.status in ("live", "draining")]

    drained = client.drain(naming.found("live worker", worker, named, hint="see qgjob workers"))
    if as_json:
        output.answer_json("worker", drained)
    else:
        output.answer(f"Worker {drained.worker_id} ({output.one_line(drained.name)}) is {drained.status}")
    return Exit.OK


def stats(*, org_id: options.OrgId = None, as_json: options.Json = False, server_url: options.ServerUrl = None) -> int:
    """Show what was done, and what grouping saved."""
    client = settings.connect(server_url)
    found = client.stats(org_id or settings.project().org_id)
    if not found.jobs:
        naming.note_unknown(client, found.org_id)
    if as_json:
        output.answer_json("stats", found)
        return Exit.OK
    output.answer(
        output.fields(
            [
                ("organisation", found.org_id or "all"),
                ("runs", str(found.runs)),
                ("jobs", str(found.jobs)),
                ("unfinished", f"{found.pending} pending, {found.queued} queued, {found.running} running"),
                ("finished", f"{found.completed} completed, {found.failed} failed, {found.cancelled} cancelled"),
                ("pass rate", f"{words.share(found.pass_rate)} ({found.flaky} flaky)"),
                ("attempts", str(found.attempts)),
                ("installs", f"{found.installs} done, {found.installs_avoided} avoided"),
                ("one install", words.duration(found.install_s)),
                ("device time", f"{words.duration(found.device_s)} used, {words.duration(found.saved_s)} saved"),
                (
                    "wait",
                    f"{words.duration(found.wait_p50_s)} median, {words.duration(found.wait_p95_s)} 95th percentile",
                ),
            ]
        )
    )
    return Exit.OK


def health(
    *,
    wait_for: Annotated[
        str | None, typer.Option("--wait-for", metavar="TIME", help="Wait so long for the server to come up.")
    ] = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Say whether the service can do its work.

    Exit codes: 0 it can · 3 jobs wait for a target that no live worker drives · 5 it is down.
    """
    wait_s = None if wait_for is None else words.seconds(wait_for, option="--wait-for")
    found = settings.connect(server_url).health(wait_s=wait_s)
    if as_json:
        output.answer_json("health", found)
    else:
        live = ", ".join(f"{target}: {number}" for target, number in sorted(found.live_workers.items()))
        output.answer(
            output.fields(
                [
                    ("status", found.status),
                    ("database", found.database),
                    ("schema", found.schema_version),
                    ("live workers", live or "none"),
                    (
                        "oldest pending",
                        None if found.oldest_pending_s is None else words.duration(found.oldest_pending_s),
                    ),
                    ("unserved", ", ".join(found.unserved)),
                ]
            )
        )
    return Exit.OK if found.status == "ok" else Exit.NO_VERDICT
