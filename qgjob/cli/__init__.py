"""The commands. stdout is the answer, stderr is talk, the exit code is the verdict (`qgjob.errors.Exit`)."""

from typing import Annotated

import typer

from qgjob import __version__
from qgjob.cli import (
    act,
    artifacts,
    builds,
    ci,
    devices,
    fleet,
    local,
    login,
    logs,
    orgs,
    output,
    replay,
    reporting,
    runs,
    schedules,
    show,
    submit,
    tokens,
    trusts,
    webhooks,
)
from qgjob.cli.plugins import Commands

# No rich markup: help stays quick, copyable, and free of colour codes in CI logs.
app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(asked: bool) -> None:
    if asked:
        output.answer(f"qgjob {__version__}")
        raise typer.Exit


@app.callback()
def qgjob(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="Print the version.")
    ] = False,
) -> None:
    """Queue, group and run mobile tests.

    Exit codes: 0 every test passed · 1 a test failed · 2 usage · 3 no verdict · 4 refused · 5 unavailable · 124 timed
    out waiting · 130/143 interrupted.
    """


app.command(epilog=submit.EPILOG)(submit.submit)
app.command(epilog=show.STATUS_EPILOG)(show.status)
app.command(epilog=ci.EPILOG, cls=reporting.Reported)(ci.ci)
app.command("list", epilog=show.LIST_EPILOG)(show.list_jobs)
app.command(epilog=runs.RUNS_EPILOG)(runs.runs)
app.command(epilog=runs.REPORT_EPILOG)(runs.report)
app.command(epilog=logs.EPILOG)(logs.logs)
app.add_typer(artifacts.artifacts_app, name="artifacts")
app.command(epilog=show.WHY_EPILOG)(show.why)
app.command(epilog=act.CANCEL_EPILOG)(act.cancel)
app.command(epilog=act.RETRY_EPILOG)(act.retry)
app.add_typer(builds.builds_app, name="builds")
app.add_typer(schedules.schedules_app, name="schedules")
app.add_typer(orgs.orgs_app, name="orgs")
app.command(epilog=fleet.GROUPS_EPILOG)(fleet.groups)
app.add_typer(fleet.workers_app, name="workers")
app.add_typer(devices.devices_app, name="devices")
app.command(epilog=fleet.STATS_EPILOG)(fleet.stats)
app.command(epilog=fleet.HEALTH_EPILOG)(fleet.health)
app.command(epilog=login.LOGIN_EPILOG)(login.login)
app.command(epilog=login.LOGOUT_EPILOG)(login.logout)
app.command(epilog=login.WHOAMI_EPILOG)(login.whoami)
app.add_typer(tokens.token_app, name="token")
app.add_typer(trusts.trust_app, name="trust")
app.add_typer(webhooks.webhooks_app, name="webhooks")
app.command(epilog=local.DEV_EPILOG)(local.dev)
app.command(epilog=local.DEMO_EPILOG)(local.demo)
app.command(epilog=replay.EPILOG)(replay.replay)
