"""`qgjob devices`: what they do, and which are out of use and why."""

from typing import Annotated

import typer

from qgjob.cli import naming, options, output, settings, words
from qgjob.client import Client
from qgjob.errors import Exit
from qgjob.models.fleet import Device

EPILOG = options.examples(
    "qgjob devices", "qgjob devices quarantine lab-3 --reason='the battery swells'", "qgjob devices readmit 3"
)
QUARANTINE_EPILOG = options.examples("qgjob devices quarantine 3 --reason='the battery swells'")
READMIT_EPILOG = options.examples("qgjob devices readmit lab-3", "qgjob devices readmit 3")

Which = Annotated[str, typer.Argument(metavar="NAME|ID", help="As `qgjob devices` lists it.", callback=naming.given)]

devices_app = typer.Typer(rich_markup_mode=None)


@devices_app.callback(invoke_without_command=True, epilog=EPILOG)
def devices(
    context: typer.Context,
    *,
    every: options.All = False,
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """List devices: what they do, which build they have installed, and what keeps them from working."""
    if context.invoked_subcommand is not None:
        return Exit.OK
    found = settings.connect(server_url).devices(every=every)
    if as_json:
        output.answer_json("devices", found)
        return Exit.OK
    rows = [
        (
            str(device.device_id),
            device.name,
            device.target,
            device.status,
            device.worker or "",
            device.installed_build or "",
            words.pairs(device.labels),
        )
        for device in found
    ]
    output.rows("DEVICE NAME TARGET STATUS WORKER INSTALLED LABELS", rows, empty="no device is registered")
    for device in found:
        if device.quarantine_reason:
            output.say(in_quarantine(device))
    return Exit.OK


@devices_app.command(epilog=QUARANTINE_EPILOG)
def quarantine(
    device: Which,
    *,
    reason: Annotated[str, typer.Option(help="Why, for those who wonder later.")],
    as_json: options.Json = False,
    server_url: options.ServerUrl = None,
) -> int:
    """Take a device out of use: it finishes its running test and gets no further batch until it is readmitted."""
    client = settings.connect(server_url)
    return tell(client.quarantine(find(client, device), reason), as_json=as_json)


@devices_app.command(epilog=READMIT_EPILOG)
def readmit(device: Which, *, as_json: options.Json = False, server_url: options.ServerUrl = None) -> int:
    """Put a device back into use, whatever had taken it out."""
    client = settings.connect(server_url)
    return tell(client.readmit(find(client, device)), as_json=as_json)


def find(client: Client, device: str) -> int:
    """Its id. Names of devices are unique."""

    def named() -> list[tuple[str, int]]:
        return [(one.name, one.device_id) for one in client.devices(every=True)]

    return naming.found("device", device, named, hint="see qgjob devices")


def tell(device: Device, *, as_json: bool) -> int:
    if as_json:
        output.answer_json("device", device)
    elif device.quarantine_reason:
        output.answer(in_quarantine(device))
    else:
        output.answer(f"Device {device.device_id} ({output.one_line(device.name)}) is {device.status}")
    return Exit.OK


def in_quarantine(device: Device) -> str:
    since = words.moment(device.quarantined_at)
    by = "a person" if device.quarantined_by == "person" else "its health"
    reason = output.one_line(device.quarantine_reason or "")
    return (
        f"Device {device.device_id} ({output.one_line(device.name)}) is in quarantine since {since} by {by}: {reason}"
    )
