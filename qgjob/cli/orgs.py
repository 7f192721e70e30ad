"""`qgjob orgs`: organisations, their share of the devices, and their limits."""

import sys
from typing import Annotated, Any

import typer

from qgjob.cli import naming, options, output, settings
from qgjob.errors import Exit, Refused, Usage
from qgjob.models.orgs import OrgDetails

EPILOG = options.examples("qgjob orgs list", "qgjob orgs set qualgent --max-pending-jobs=50000 --max-devices=20")
LIST_EPILOG = options.examples("qgjob orgs list")
SHOW_EPILOG = options.examples("qgjob orgs show qualgent")
SET_EPILOG = options.examples(
    "qgjob orgs set qualgent --max-pending-jobs=50000 --requests-per-minute=600",
    "qgjob orgs set qualgent --max-devices=none --weight=2",
    "qgjob orgs set qualgent --group-by=repo --group-by=tag",
    "qgjob orgs set qualgent --keep-days=90",
)

REMOVE_EPILOG = options.examples("qgjob orgs remove qualgent", "qgjob orgs remove qualgent --yes")

OrgName = Annotated[str, typer.Argument(metavar="ORG", help="The organisation.", callback=naming.given)]
NONE = "none"

orgs_app = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@orgs_app.callback(epilog=EPILOG)
def orgs() -> None:
    """List organisations, show and change their settings, remove one."""


@orgs_app.command("list", epilog=LIST_EPILOG)
def list_orgs(*, as_json: options.Json = False, server_url: options.ServerUrl = None) -> int:
    """List organisations and their limits."""
    found = settings.connect(server_url).orgs()
    if as_json:
        output.answer_json("orgs", found)
        return Exit.OK
    rows = [
        (
            org.org_id,
            f"{org.weight:g}",
            str(org.devices),
            limit(org.max_devices),
            limit(org.max_pending_jobs),
            limit(org.requests_per_minute),
            limit(org.keep_days),
            ",".join(org.group_by),
        )
        for org in found
    ]
    headings = "ORG WEIGHT DEVICES MAX_DEVICES MAX_PENDING_JOBS REQUESTS_PER_MINUTE KEEP_DAYS GROUP_BY"
    output.rows(headings, rows, empty="no organisation")
    return Exit.OK


@orgs_app.command(epilog=SHOW_EPILOG)
def show(org: OrgName, *, as_json: options.Json = False, server_url: options.ServerUrl = None) -> int:
    """Show one organisation: its settings, and what of them it uses."""
    return tell(settings.connect(server_url).org(org), as_json=as_json)


@orgs_app.command("set", epilog=SET_EPILOG)
def set_org(
    org: OrgName,
    *,
    weight: Annotated[
        float | None, typer.Option("--weight", min=0.001, max=1000, help="Its share of device time beside the others.")
    ] = None,
    max_devices: Annotated[
        str | None, typer.Option("--max-devices", metavar="N|none", help="Devices that may serve it at a time.")
    ] = None,
    max_pending_jobs: Annotated[
        str | None, typer.Option("--max-pending-jobs", metavar="N|none", help="Submissions beyond are refused.")
    ] = None,
    requests_per_minute: Annotated[
        str | None, typer.Option("--requests-per-minute", metavar="N|none", help="For each API process.")
    ] = None,
    keep_days: Annotated[
        str | None,
        typer.Option(
            "--keep-days", metavar="N|none", help="Runs and their results are deleted so long after they end."
        ),
    ] = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option(
            "--group-by", metavar="LABEL|none", help="Runs that differ in this label share no group. Repeats."
        ),
    ] = None,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Change settings of an organisation, which is created if it is new."""
    changes: dict[str, Any] = {} if weight is None else {"weight": weight}
    for name, value in (
        ("max_devices", max_devices),
        ("max_pending_jobs", max_pending_jobs),
        ("requests_per_minute", requests_per_minute),
        ("keep_days", keep_days),
    ):
        if value is not None:
            changes[name] = number(value, f"--{name.replace('_', '-')}")
    if group_by:
        changes["group_by"] = [] if group_by == [NONE] else group_by
    if not changes:
        raise Usage("nothing to set", hint="give --weight, --max-devices, --max-pending-jobs, … ; see --help")
    client = settings.connect(server_url)
    try:
        changed = client.change_org(org, changes)
        output.say(f"changed the organisation {changed.org_id}")
    except Refused as refused:
        if refused.code != "org_exists":
            raise
        near = naming.beside(client, org)
        changed = client.create_org(org, changes)
        output.say(
            f"created the organisation {changed.org_id}, which there was not{near}; "
            f"if that is a mistake: qgjob orgs remove {changed.org_id}"
        )
    return tell(changed, as_json=as_json)


@orgs_app.command(epilog=REMOVE_EPILOG)
def remove(
    org: OrgName,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Remove an organisation with its tokens, schedules, webhooks, builds and results. There is no way back."""
    client = settings.connect(server_url)
    if not yes:
        if not (sys.stdin.isatty() and output.is_interactive()):
            raise Usage(f"nobody was asked whether {org} is to be removed", hint="say --yes")
        found = client.org(org)
        # Not typer.prompt, which puts a space on stdout.
        typer.echo(f"This deletes all of {found.org_id}. Type its name to go on: ", nl=False, err=True)
        if sys.stdin.readline().strip() != found.org_id:
            raise Usage(f"{found.org_id} was not removed", hint="what was typed is another name")
    step = client.remove_org(org)
    while not step.removed:
        step = client.remove_org(org)
    if as_json:
        output.answer_json("org_removed", step)
    else:
        output.answer(f"Organisation {step.org_id} removed")
    return Exit.OK


def tell(org: OrgDetails, *, as_json: bool) -> int:
    if as_json:
        output.answer_json("org", org)
        return Exit.OK
    output.answer(
        output.fields(
            [
                ("organisation", org.org_id),
                ("weight", f"{org.weight:g}"),
                ("devices", f"{org.devices} of {limit(org.max_devices)}"),
                ("pending jobs", f"{org.pending} of {limit(org.max_pending_jobs)}"),
                ("requests per minute", limit(org.requests_per_minute)),
                ("results", "kept for ever" if org.keep_days is None else f"kept for {org.keep_days} days"),
                ("group by", ", ".join(org.group_by)),
            ]
        )
    )
    return Exit.OK


def limit(value: int | None) -> str:
    return "unlimited" if value is None else str(value)


def number(text: str, flag: str) -> int | None:
    if text == NONE:
        return None
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) < 2**31:
        raise Usage(f"{flag}: {text!r} is neither a number from 1 to {2**31 - 1} nor none")
    return int(text)
