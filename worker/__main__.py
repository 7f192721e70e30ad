"""python -m worker: drive devices for one database, or for the API in front of it. Start as many as you like."""

import asyncio
import logging
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import typer

from qgjob import logs, tracing
from qgjob.errors import ClientError, Exit, Unavailable, Usage
from qgjob.models.words import Target
from qgjob.usage import run_service
from worker import attachments, executors
from worker import devices as backends
from worker.connection import Connection, by_api, by_database
from worker.loop import Options, Worker
from worker.results import Files

# After it was told a second time, and when nobody has answered: names being looked up, connections and traces that are
# closed must not keep the process. What it has started is ended by then.
LEAVES_S = 7.0
CLOSES_S = 2.0

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)


def pairs(settings: list[str], flag: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{setting!r} is not of the form NAME=VALUE", param_hint=flag)
        if found.setdefault(name, value) != value:
            raise typer.BadParameter(f"{name} is given twice: {name}={found[name]} and {setting}", param_hint=flag)
    return found


def settings(given: list[str] | None, flag: str) -> dict[str, Any]:
    """Lists and tables of a setting are written as JSON. What reads as a number stays text until its meaning is known:
    14.0 may be the name of a version."""
    found: dict[str, Any] = {}
    for name, value in pairs(given or [], flag).items():
        try:
            said = msgspec.json.decode(value)
        except msgspec.DecodeError:
            said = value
        found[name] = value if type(said) in (int, float) else said
    return found


@app.command()
def work(
    *,
    target: Annotated[str, typer.Option(help="What the devices are: emulator, device or browserstack.")] = "emulator",
    name: Annotated[
        str, typer.Option(help="Name of this worker; its devices are NAME-1, NAME-2, …; with adb, NAME-SERIAL")
    ] = "",
    backend: Annotated[str, typer.Option(help="What drives them: adb, browserstack, or none.")] = "none",
    devices: Annotated[int, typer.Option(help="How many, for none and browserstack.", min=1, max=1000)] = 1,
    executor: Annotated[str, typer.Option(help="appwright, playwright, command, or simulated (which runs nothing).")],
    project: Annotated[
        Path, typer.Option(help="Folder that test paths are relative to.", exists=True, file_okay=False)
    ] = Path(),
    setting: Annotated[
        list[str] | None, typer.Option(help="A setting of the executor, NAME=JSON or NAME=TEXT; repeats.")
    ] = None,
    backend_setting: Annotated[
        list[str] | None, typer.Option(help="A setting of the backend, NAME=JSON or NAME=TEXT; repeats.")
    ] = None,
    org: Annotated[
        list[str] | None, typer.Option(help="An organisation that the devices serve; repeats. Default: everybody.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option(help="A label of the devices, NAME=VALUE; repeats.")] = None,
    lease: Annotated[int, typer.Option(help="Seconds its batches outlive its last heartbeat.", min=1, max=3600)] = 30,
    max_jobs: Annotated[int, typer.Option(help="Jobs in a batch at most.", min=1, max=1000)] = 20,
    burst: Annotated[bool, typer.Option("--burst", help="Leave as soon as nothing is pending.")] = False,
    max_idle: Annotated[
        float | None, typer.Option(help="Leave after so many seconds without work, or without an answer.", min=0)
    ] = None,
    server: Annotated[
        str, typer.Option(help="URL of the API, for machines that reach no database; the token is QGJOB_TOKEN.")
    ] = "",
) -> None:
    """Claim batches of jobs and run them. Needs --server, or QGJOB_DATABASE_URL and, behind a pooler, QGJOB_LISTEN_URL.

    SIGTERM or Ctrl-C: finish the running tests, give back the rest, leave. Once more: give back everything and leave
    within seconds, whether or not anybody answers.
    """
    if not server and not os.environ.get("QGJOB_DATABASE_URL"):
        raise Usage(
            "say --server=https://qgjob.example.com, or set QGJOB_DATABASE_URL, for example "
            "postgresql://user:password@host:5432/qgjob"
        )
    if target not in get_args(Target):
        raise typer.BadParameter(f"{target!r} is not one of {', '.join(get_args(Target))}", param_hint="--target")
    kind: Target = target  # type: ignore[assignment]
    name = name or f"{socket.gethostname()}-{kind}"
    labels = pairs(label or [], "--label")
    options = Options(name, kind, lease, max_jobs, 0 if burst else max_idle, org or None)
    logs.configure()
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request, otherwise
    where = project.resolve()
    connection = by_api(server) if server else by_database(devices)
    driver = backends.load(
        backend,
        backends.Options(
            name, kind, devices, labels, settings(backend_setting, "--backend-setting"), connection.engine, where
        ),
    )
    runner = executors.load(executor, executors.Options(where, driver, settings(setting, "--setting")))
    files = Files(connection.store, attachments.limits())
    if executor == "simulated":
        logging.getLogger("worker").warning("simulated: no test is really run, the names of the files decide")
    asyncio.run(serve(connection, runner, driver, options, files))


async def serve(
    connection: Connection,
    executor: executors.Executor,
    backend: backends.Backend,
    options: Options,
    files: Files,
) -> None:
    async with connection.opened():
        traces = tracing.start("qgjob-worker")
        worker = Worker(connection.engine, executor, backend, options, files, traces)

        def stop() -> None:
            if worker.drain():
                leave_within(LEAVES_S)

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        ended: ClientError | None = None
        try:
            if not await worker.run():
                leave_within(CLOSES_S)
        except* ClientError as group:
            ended = first(group)
            if isinstance(ended, Unavailable):
                leave_within(CLOSES_S, ended.exit)
        finally:
            await backend.close()
            if traces:
                traces.close()
        if ended:
            raise ended


def leave_within(seconds: float, code: int = Exit.OK) -> None:
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


def first(group: BaseExceptionGroup[ClientError]) -> ClientError:
    """Without the nesting of the task groups it went through."""
    error = group.exceptions[0]
    return first(error) if isinstance(error, BaseExceptionGroup) else error


if __name__ == "__main__":
    run_service(app)
