"""The flags that several commands share, declared once."""

from enum import StrEnum
from typing import Annotated

import typer

from qgjob.cli.naming import number_of
from qgjob.cli.settings import DEFAULT_SERVER_URL
from qgjob.models.words import Priority

ServerUrl = Annotated[
    str | None,
    typer.Option(
        "--server-url", envvar="QGJOB_SERVER_URL", metavar="URL", help=f"The server. Default {DEFAULT_SERVER_URL}."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, also for errors.")]
OrgId = Annotated[str | None, typer.Option("--org-id", envvar="QGJOB_ORG_ID", metavar="ORG", help="The organisation.")]


JOB_ID = typer.Option("--job-id", metavar="ID", help="A job.", callback=number_of("job", "qgjob list"))
RUN_ID = typer.Option(
    "--run-id", metavar="ID", help="A run: all jobs of one submission.", callback=number_of("run", "qgjob runs")
)
JobId = Annotated[str | None, JOB_ID]
RunId = Annotated[str | None, RUN_ID]
RequiredJobId = Annotated[str, JOB_ID]
RequiredRunId = Annotated[str, RUN_ID]
Test = Annotated[
    list[str] | None, typer.Option("--test", metavar="PATH|GLOB", help="A spec file, or a quoted glob. Repeats.")
]
TestsFrom = Annotated[
    str | None, typer.Option("--tests-from", metavar="FILE", help="A file with a path or glob a line; - is stdin.")
]
Manifest = Annotated[
    str | None, typer.Option("--manifest", metavar="FILE", help="A TOML or JSON file of tests; flags win over it.")
]
JobPriority = Annotated[Priority | None, typer.Option("--priority", help="Within the organisation.")]
Retries = Annotated[
    int | None, typer.Option("--retries", min=0, max=10, help="Run a failed test again up to so many times.")
]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="Repeats.")]
All = Annotated[bool, typer.Option("--all", help="Also those that have been gone for more than a day.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")]
Cursor = Annotated[int | None, typer.Option("--cursor", min=1, help="From where a page ended.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the run's id only, and no progress.")]
IdsOnly = Annotated[bool, typer.Option("--quiet", "-q", help="Print their ids only, one a line.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        metavar="KEY",
        help="Submitting again with this key returns the first answer. Default: random.",
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the verdict; the exit code is the verdict.")]
Timeout = Annotated[
    str, typer.Option("--timeout", metavar="TIME", help="Wait at most this long, then exit 124. The run goes on.")
]
JunitXml = Annotated[
    str | None, typer.Option("--junit-xml", metavar="FILE", help="Write the results as JUnit XML. Implies --wait.")
]


class OnInterrupt(StrEnum):
    """What a signal does to the run that is waited for."""

    cancel = "cancel"
    detach = "detach"


Interrupt = Annotated[
    OnInterrupt,
    typer.Option("--on-interrupt", help="What SIGINT or SIGTERM does to the run where no terminal can be asked."),
]


class TargetName(StrEnum):
    """The `Target` of the API, as typer needs it."""

    emulator = "emulator"
    device = "device"
    browserstack = "browserstack"


class StatusName(StrEnum):
    """The `Status` of the API, as typer needs it."""

    pending = "pending"
    queued = "queued"
    running = "running"
    completed = "completed"
    failed = "failed"
    cancelled = "cancelled"


class DeliveryStatusName(StrEnum):
    """The `DeliveryStatus` of the API, as typer needs it."""

    pending = "pending"
    delivered = "delivered"
    failed = "failed"
    dead = "dead"


def examples(*lines: str) -> str:
    """An epilog that typer prints as it is."""
    return "Examples:\n\n\b\n" + "\n".join(f"  {line}" for line in lines)
