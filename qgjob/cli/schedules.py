"""`qgjob schedules`: runs that are submitted at certain times, by whoever is up."""

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import typer

from qgjob.cli import naming, options, output, settings, words
from qgjob.cli import selection as select
from qgjob.cli.selection import Manifest, ManifestDefaults
from qgjob.cli.submit import announce, checked, complete_target, merged
from qgjob.client import Client
from qgjob.errors import Exit, Usage
from qgjob.models.schedules import Schedule, ScheduleAddition
from qgjob.models.submission import JobDefaults, JobSubmission

NIGHTLY = "qgjob schedules add nightly --org-id=qualgent --cron='0 2 * * 1-5' --time-zone=Europe/Berlin"
EPILOG = options.examples(f"{NIGHTLY} \\", "    --test='tests/**/*.spec.js'", "qgjob schedules pause nightly")
ADD_EPILOG = options.examples(
    f"{NIGHTLY} \\",
    "    --test='tests/**/*.spec.js'",
    "qgjob schedules add release --at=2026-12-01T06:00 --app-version-id=v2.0.0 --tests-from=smoke.txt",
)
LIST_EPILOG = options.examples("qgjob schedules list --org-id=qualgent")
SHOW_EPILOG = options.examples("qgjob schedules show nightly")
SET_EPILOG = options.examples(
    "qgjob schedules set nightly --cron='30 3 * * *' --time-zone=UTC",
    "qgjob schedules set nightly --test='tests/**/*.spec.js' --app-version-id=newest",
)
PAUSE_EPILOG = options.examples("qgjob schedules pause nightly", "qgjob schedules pause 3")
RESUME_EPILOG = options.examples("qgjob schedules resume nightly")
REMOVE_EPILOG = options.examples("qgjob schedules remove nightly")
RUN_NOW_EPILOG = options.examples("qgjob schedules run-now nightly")

NEWEST = "newest"
Cron = Annotated[
    str | None,
    typer.Option("--cron", metavar="FIELDS", help="Minute, hour, day of month, month, day of week: '0 2 * * 1-5'."),
]
At = Annotated[str | None, typer.Option("--at", metavar="TIME", help="Once, for example 2026-12-01T06:00 or …06:00Z.")]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="TARGET", autocompletion=complete_target, help="As for submit. Repeats."),
]
Which = Annotated[
    str, typer.Argument(metavar="NAME|ID", help="As `qgjob schedules list` shows it.", callback=naming.given)
]

schedules_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@schedules_app.callback(epilog=EPILOG)
def schedules() -> None:
    """Submit runs at certain times: by a cron expression in a time zone, or once."""


@schedules_app.command(epilog=ADD_EPILOG)
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Unique in the organisation.")],
    *,
    org_id: options.OrgId = None,
    cron: Cron = None,
    at: At = None,
    time_zone: Annotated[
        str | None,
        typer.Option("--time-zone", metavar="ZONE", help="For example Europe/Berlin.  [default: UTC; with --at, here]"),
    ] = None,
    app_version_id: Annotated[
        str | None,
        typer.Option(
            "--app-version-id", metavar="BUILD", help="The build to test.  [default: the newest at that time]"
        ),
    ] = None,
    test: options.Test = None,
    tests_from: options.TestsFrom = None,
    manifest: options.Manifest = None,
    target: Targets = None,
    priority: options.JobPriority = None,
    retries: options.Retries = None,
    label: options.Labels = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Add a schedule. Globs are looked up now, so that each time submits the same tests.

    What was missed while nothing was up is made up for once; what was due while paused is not.
    """
    if (cron is None) == (at is None):
        raise Usage("give either --cron or --at")
    project = settings.project()
    flags = ManifestDefaults(targets=target or None, priority=priority, retries=retries)
    plan, jobs = select.planned(test, tests_from, manifest, flags, project.targets or ["emulator"])
    if not jobs:
        raise Usage("no tests given", hint="give --test, --tests-from or --manifest")
    addition = ScheduleAddition(
        org_id=settings.required("org_id", org_id, plan.org_id, project.org_id),
        name=name,
        cron=cron,
        time_zone=time_zone or "UTC",
        at=None if at is None else moment(at, time_zone),
        app_version_id=app_version_id or plan.app_version_id,
        jobs=jobs,
        defaults=merged(flags, plan.defaults, project),
        labels={**project.labels, **plan.labels, **select.parse_labels(label or [])},
    )
    checked(addition, ScheduleAddition, to="schedule")
    select.say_missing(jobs)
    client = settings.connect(server_url)
    naming.note_unknown(client, addition.org_id)
    return tell(client.add_schedule(addition), "Added", as_json=as_json)


@schedules_app.command("list", epilog=LIST_EPILOG)
def list_schedules(
    *, org_id: options.OrgId = None, as_json: options.Json = False, server_url: options.ServerUrl = None
) -> int:
    """List schedules: when they are due next, and what came of the last time."""
    found = settings.connect(server_url).schedules(org_id or settings.project().org_id)
    if as_json:
        output.answer_json("schedules", found)
        return Exit.OK
    rows = [
        (
            str(schedule.schedule_id),
            schedule.org_id,
            schedule.name,
            schedule.status,
            schedule.cron or "once",
            schedule.time_zone,
            words.moment(schedule.next_at) or "",
            str(schedule.last_run_id or ""),
            schedule.last_error or "",
        )
        for schedule in found
    ]
    headings = "SCHEDULE ORG NAME STATUS WHEN ZONE NEXT LAST_RUN LAST_ERROR"
    output.rows(headings, rows, empty="no schedule")
    return Exit.OK


@schedules_app.command(epilog=SHOW_EPILOG)
def show(
    schedule: Which,
    *,
    org_id: options.OrgId = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Show one schedule: what it submits, and when."""
    client = settings.connect(server_url)
    found = client.schedule(find(client, schedule, org_id))
    if as_json:
        output.answer_json("schedule", found)
    else:
        output.answer(text(found))
    return Exit.OK


@schedules_app.command("set", epilog=SET_EPILOG)
def set_schedule(
    schedule: Which,
    *,
    org_id: options.OrgId = None,
    cron: Cron = None,
    at: At = None,
    time_zone: Annotated[str | None, typer.Option("--time-zone", metavar="ZONE", help="Of --cron.")] = None,
    app_version_id: Annotated[
        str | None, typer.Option("--app-version-id", metavar=f"BUILD|{NEWEST}", help="The build to test.")
    ] = None,
    test: options.Test = None,
    tests_from: options.TestsFrom = None,
    manifest: options.Manifest = None,
    target: Targets = None,
    priority: options.JobPriority = None,
    retries: options.Retries = None,
    label: options.Labels = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Change when a schedule submits, which build, how, or which tests: these take the place of all that it had, on its
    targets unless others are said. Labels are added to those that it has."""
    if cron is not None and at is not None:
        raise Usage("give either --cron or --at")
    asked = (cron, at, time_zone, app_version_id, test, tests_from, manifest, target, priority, retries, label)
    if all(each is None or each == [] for each in asked):
        raise Usage("nothing to change", hint="qgjob schedules set --help names what can be")
    client = settings.connect(server_url)
    found = client.schedule(find(client, schedule, org_id))
    flags = ManifestDefaults(targets=target or None, priority=priority, retries=retries)
    plan, given = select.planned(test, tests_from, manifest, flags, targets_of(found))
    if target and not given:
        raise Usage("--target goes with tests", hint="give --test, --tests-from or --manifest, too")
    build = app_version_id or plan.app_version_id
    defaults, jobs = changed(found, plan, given, flags)
    labels = {**settings.project().labels, **plan.labels} if plan.labels else found.labels
    labels = {**labels, **select.parse_labels(label or [])}
    said: dict[str, Any] = {
        "cron": cron,
        "at": None if at is None else moment(at, time_zone),
        "time_zone": time_zone,
        "app_version_id": build,
        "jobs": jobs if jobs != found.jobs else None,
        "defaults": defaults if defaults != found.defaults else None,
        "labels": labels if labels != found.labels else None,
    }
    changes = {name: value for name, value in said.items() if value is not None}
    if build == NEWEST:
        changes["app_version_id"] = None
    checked(changes, dict[str, Any], to="schedule")
    checked(jobs, list[JobSubmission], to="schedule")
    if not changes:  # it is so already
        return tell(found, "Changed", as_json=as_json)
    select.say_missing(changes.get("jobs", []))
    return tell(client.change_schedule(found.schedule_id, changes), "Changed", as_json=as_json)


def changed(
    found: Schedule, plan: Manifest, given: list[JobSubmission], flags: ManifestDefaults
) -> tuple[JobDefaults, list[JobSubmission]]:
    """Defaults and jobs as they will be. Those of a manifest take the place of what there was; a flag alone changes one
    of them, and takes back what a test said of itself."""
    if merged(ManifestDefaults(), plan.defaults, settings.Project()) != JobDefaults():
        return merged(flags, plan.defaults, settings.project()), given or found.jobs
    said: dict[str, Any] = {"priority": flags.priority, "retries": flags.retries}
    said = {name: value for name, value in said.items() if value is not None}
    untold = dict.fromkeys(said)
    return (
        msgspec.structs.replace(found.defaults, **said),
        given or [msgspec.structs.replace(job, **untold) for job in found.jobs],
    )


@schedules_app.command(epilog=PAUSE_EPILOG)
def pause(
    schedule: Which,
    *,
    org_id: options.OrgId = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Let a schedule submit nothing until it is resumed."""
    return change(schedule, org_id, server_url, {"enabled": False}, "Paused", as_json=as_json)


@schedules_app.command(epilog=RESUME_EPILOG)
def resume(
    schedule: Which,
    *,
    org_id: options.OrgId = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Let a schedule submit again, from its next time on."""
    return change(schedule, org_id, server_url, {"enabled": True}, "Resumed", as_json=as_json)


@schedules_app.command(epilog=REMOVE_EPILOG)
def remove(
    schedule: Which,
    *,
    org_id: options.OrgId = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Forget a schedule. Its runs stay."""
    client = settings.connect(server_url)
    schedule_id = find(client, schedule, org_id)
    client.remove_schedule(schedule_id)
    if as_json:
        output.answer_json("removed", {"schedule_id": schedule_id})
    else:
        output.answer(f"Removed schedule {schedule_id}")
    return Exit.OK


@schedules_app.command("run-now", epilog=RUN_NOW_EPILOG)
def run_now(
    schedule: Which,
    *,
    org_id: options.OrgId = None,
    idempotency_key: options.Key = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Submit a schedule's run now. When it is due next stays as it is."""
    client = settings.connect(server_url)
    run = client.run_schedule(find(client, schedule, org_id), key=idempotency_key or str(uuid.uuid4()))
    announce(run, waits=False, as_json=as_json, quiet=quiet)
    return Exit.OK


def change(
    schedule: str, org_id: str | None, server_url: str | None, changes: dict[str, Any], done: str, *, as_json: bool
) -> int:
    client = settings.connect(server_url)
    return tell(client.change_schedule(find(client, schedule, org_id), changes), done, as_json=as_json)


def tell(schedule: Schedule, done: str, *, as_json: bool) -> int:
    if as_json:
        output.answer_json("schedule", schedule)
        return Exit.OK
    due = f" · next {words.moment(schedule.next_at)}" if schedule.next_at and schedule.status == "active" else ""
    output.answer(f"{done} schedule {schedule.schedule_id} ({schedule.name}){due}")
    return Exit.OK


def targets_of(schedule: Schedule) -> list[str]:
    """As `--target` takes them."""
    usual = schedule.defaults
    return sorted(
        {
            words.target(
                job.target or usual.target or "emulator",
                (usual.selector if job.selector is None else job.selector) or {},
            )
            for job in schedule.jobs
        }
    )


def text(schedule: Schedule) -> str:
    tests = list(dict.fromkeys(job.test_path for job in schedule.jobs))
    usual = schedule.defaults
    seconds = [job.timeout_s or usual.timeout_s for job in schedule.jobs]
    timeouts = [None if each is None else words.duration(each) for each in seconds]
    return output.fields(
        [
            ("schedule", str(schedule.schedule_id)),
            ("name", schedule.name),
            ("organisation", schedule.org_id),
            ("status", schedule.status),
            ("when", schedule.cron or words.moment(schedule.at)),
            ("time zone", schedule.time_zone if schedule.cron else None),
            ("next", words.moment(schedule.next_at)),
            ("last", words.moment(schedule.last_at)),
            ("last run", str(schedule.last_run_id or "")),
            ("last error", output.one_line(schedule.last_error or "")),
            ("build", schedule.app_version_id or NEWEST),
            ("labels", words.pairs(schedule.labels)),
            ("targets", ", ".join(targets_of(schedule))),
            ("priority", several(job.priority or usual.priority for job in schedule.jobs)),
            ("retries", several(usual.retries if job.retries is None else job.retries for job in schedule.jobs)),
            ("timeout", several(timeouts)),
            *(("" if number else "tests", test) for number, test in enumerate(tests)),
        ]
    )


def several(values: Iterable[object]) -> str:
    """Each once, as they come; nothing of what is the server's to decide."""
    return ", ".join(dict.fromkeys(str(value) for value in values if value is not None))


def find(client: Client, schedule: str, org_id: str | None) -> int:
    """Its id. A name is looked up in the organisation that is given, else in all that can be seen."""

    def named() -> list[tuple[str, int]]:
        return [(one.name, one.schedule_id) for one in client.schedules(org_id or settings.project().org_id)]

    return naming.found("schedule", schedule, named, hint="qgjob schedules list shows them; --org-id says whose")


def moment(text: str, time_zone: str | None) -> datetime:
    """A time without a zone is one here, or in the zone that is given."""
    try:
        said = datetime.fromisoformat(text)
        if said.tzinfo is None:
            said = said.replace(tzinfo=ZoneInfo(time_zone)) if time_zone else said.astimezone()
    except (KeyError, OSError, ValueError, OverflowError) as error:
        raise Usage(f"unreadable time {text!r}", hint="for example --at=2026-12-01T06:00 --time-zone=UTC") from error
    return said
