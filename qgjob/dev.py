"""`qgjob dev`: the whole service on this machine, on a PostgreSQL of its own, until Ctrl-C."""

import sys
import time
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from qgjob import postgres, services
from qgjob.errors import Exit


def dev(port: int, fresh: bool, project: Path | None = None) -> int:
    """Run everything in the foreground, with its data in `.qgjob/` here. The exit code: 0 after being stopped."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    folder = Path(".qgjob").absolute()
    return services.guarded(lambda: _run(folder, port, fresh, project, console), console, stopped=Exit.OK)


def _run(folder: Path, port: int, fresh: bool, project: Path | None, console: Console) -> NoReturn:
    services.checkout()
    folder.mkdir(exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    with postgres.only_one(folder / "lock", "qgjob dev already runs in this folder"):
        data_dir = folder / "postgres"
        if fresh:
            postgres.erase(data_dir)

        def say(line: str) -> None:
            console.print(line, style="dim", markup=False)

        say("starting PostgreSQL")
        with (
            postgres.supervised(data_dir, durable=True) as (database_url, server),
            services.running(database_url, port=port, logs=folder / "logs", say=say, project=project) as running,
        ):
            devices = " and ".join(f"{services.DEVICES} {target}s" for target in services.TARGETS)
            console.print(f"API       {running.url}", markup=False)
            console.print(f"database  {database_url}", markup=False)
            console.print(f"psql      {postgres.binaries() / 'psql'} {database_url}", markup=False)
            console.print(f"devices   {devices}, {running.executor} executor, tests in {running.project}", markup=False)
            console.print(f"logs      {folder / 'logs'}", markup=False)
            console.print("Ready. Ctrl-C stops everything. In another terminal:")
            sys.stdout.write(f"export QGJOB_SERVER_URL={running.url}\n")
            sys.stdout.flush()
            while True:
                running.check(server)
                time.sleep(0.2)
