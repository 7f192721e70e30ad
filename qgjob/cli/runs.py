"""`qgjob runs` and `report`: the submissions of an organisation, and what became of one, also long after it."""

from typing import Annotated

import typer

from qgjob.cli import job_summary, junit, naming, options, output, settings, verdict, words
from qgjob.cli import selection as select
from qgjob.cli.paging import page_of, say_more
from qgjob.cli.progress import counts
from qgjob.cli.reporting import LISTED
from qgjob.errors import Exit
from qgjob.models.runs import Run

RUNS_EPILOG = options.examples(
    "qgjob runs --org-id=qualgent",
    "qgjob runs --org-id=qualgent --label=branch=main --limit=1 --json",
)
REPORT_EPILOG = options.examples(
    "qgjob report --run-id=12 >> summary.md", "qgjob report --run-id=12 --junit-xml=results.xml"
)


def runs(
    *,
    org_id: options.OrgId = None,
    app_version_id: Annotated[
        str | None, typer.Option("--app-version-id", metavar="BUILD", help="Runs of this build.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Runs with this label. Repeats.")
    ] = None,
    limit: options.Limit = 50,
    cursor: options.Cursor = None,
    as_json: options.Json = False,
    quiet: options.IdsOnly = False,
    server_url: options.ServerUrl = None,
) -> int:
    """List runs of an organisation, newest first."""
    org = settings.organisation(org_id)
    asked: list[tuple[str, str | int]] = [("org_id", org)]
    asked += [("app_version_id", app_version_id)] if app_version_id is not None else []
    asked += [("label", f"{name}={value}") for name, value in select.parse_labels(label or []).items()]
    asked += [("limit", limit)]
    client = settings.connect(server_url)
    page = client.runs(page_of(asked, cursor))
    if not page.runs:
        naming.note_unknown(client, org)
    if as_json:
        output.answer_json("runs", page)
    elif quiet and page.runs:
        output.answer("\n".join(str(run.run_id) for run in page.runs))
    else:
        headings = "RUN STATUS BUILD JOBS LABELS CREATED TOOK"
        output.rows(headings, [row(run) for run in page.runs], empty="no run matches")
    if not quiet:
        say_more("runs", asked=asked, next_cursor=page.next_cursor)
    return Exit.OK


def row(run: Run) -> tuple[str, ...]:
    took = None if run.finished_at is None else (run.finished_at - run.created_at).total_seconds()
    return (
        str(run.run_id),
        run.status,
        run.app_version_id,
        counts(run),
        words.pairs(run.labels),
        words.moment(run.created_at) or "",
        words.duration(took),
    )


def report(
    *,
    run_id: options.RequiredRunId,
    junit_xml: Annotated[
        str | None, typer.Option("--junit-xml", metavar="FILE", help="Also write the results as JUnit XML.")
    ] = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Report on a run as Markdown: what failed and why, what was flaky, what grouping saved. What goes on has a report,
    too, of what there is so far."""
    file = junit.checked(junit_xml) if junit_xml is not None else None
    url = settings.chosen_server_url(server_url)
    client = settings.connect(server_url)
    run = client.run(run_id)
    failures = client.failures(run.run_id, limit=LISTED) if run.failed + run.cancelled + run.flaky else []
    if file is not None:
        junit.save(client, run.run_id, file)
    if as_json:
        output.answer_json("report", {"run": run, "failures": failures})
    else:
        notes = [] if run.status in verdict.ENDED else [counts(run)]
        document = job_summary.document(run, failures, url=f"{url.rstrip('/')}/runs/{run.run_id}", notes=notes)
        output.answer(document.rstrip("\n"))
    return Exit.OK
