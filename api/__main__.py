"""python -m api: serve the REST API of one database. Start as many as you like."""

import asyncio
import logging
import os
import resource
import socket
import sys
from typing import Annotated

import typer
import uvicorn

from api.announcements import Announcements
from api.app import create_app
from api.sending import UnusableSetting, read_settings
from api.upload_limit import UploadLimit
from qgjob import logs, tracing
from qgjob.store import UnusableStore, open_store
from sql.schema import UnusableDatabase, require

USAGE, UNAVAILABLE = 2, 5
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65_535)] = 8080,
    pool_size: Annotated[int, typer.Option(help="Database connections at most.", min=1)] = 10,
    without_authentication: Annotated[
        bool, typer.Option(help="Listen beyond loopback although nobody is asked who they are.")
    ] = False,
) -> None:
    """Serve the REST API. Needs QGJOB_DATABASE_URL; QGJOB_LISTEN_URL where that one leads through a pooler."""
    url = os.environ.get("QGJOB_DATABASE_URL")
    if not url:
        typer.echo("error: set QGJOB_DATABASE_URL, for example postgresql://user:password@host:5432/qgjob", err=True)
        sys.exit(USAGE)
    if host not in LOOPBACK and not without_authentication:
        typer.echo(
            f"error: there is no authentication yet, so {host} would let everybody in\n"
            "hint: put a proxy that authenticates in front of a loopback address, or say --without-authentication",
            err=True,
        )
        sys.exit(USAGE)
    limit = UploadLimit(megabytes("QGJOB_BUILD_MAX_MB", 2048), megabytes("QGJOB_ATTEMPT_MB", 50))
    try:
        store = open_store()
        webhook_settings = read_settings()
    except (UnusableStore, UnusableSetting) as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(USAGE)
    try:
        logs.configure()
    except logs.UnusableLog as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(USAGE)
    try:
        asyncio.run(require(url))
    except UnusableDatabase as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(UNAVAILABLE)
    logging.getLogger("api").info("serving http://%s:%s", host, port)
    # On loopback a foreign name in Host is a browser that was led here by somebody's DNS.
    hosts = LOOPBACK if host in LOOPBACK else None
    listen_url = os.environ.get("QGJOB_LISTEN_URL", url) or None
    # Each client that waits is an open file, and 1024 is what many systems begin with.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    announcements = Announcements(listen_url)
    app = create_app(url, announcements, store, limit, pool_size, hosts, webhook_settings, tracing.start("qgjob-api"))
    config = uvicorn.Config(
        app, host=host, port=port, log_level="warning", access_log=False, server_header=False,
        # Whoever waits has been answered by then; what is still being sent gets so long.
        timeout_graceful_shutdown=30,
    )  # fmt: skip
    Server(config, announcements).run()


def megabytes(variable: str, default: int) -> int:
    value = os.environ.get(variable) or str(default)
    if not value.isascii() or not value.isdigit():
        typer.echo(f"error: {variable} is a whole number of megabytes", err=True)
        sys.exit(USAGE)
    return int(value)


class Server(uvicorn.Server):
    """Answers who waits before it ends: it would wait for them, and they for something to change."""

    def __init__(self, config: uvicorn.Config, announcements: Announcements) -> None:
        super().__init__(config)
        self._announcements = announcements

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._announcements.leave()
        await super().shutdown(sockets)


if __name__ == "__main__":
    typer.run(serve)
