"""`qgjob dev` and `demo`: everything on this machine. They need a checkout or the image, so they are imported late."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from qgjob.cli import options
from qgjob.errors import Usage

DEV_EPILOG = options.examples("qgjob dev", "qgjob dev --port=9000 --fresh", "qgjob dev --project=.")
DEMO_EPILOG = options.examples("qgjob demo")


def dev(
    *,
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Of the API.")] = 8080,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the jobs of earlier times.")] = False,
    project: Annotated[
        Path | None,
        typer.Option(
            "--project", metavar="DIR", exists=True, file_okay=False, resolve_path=True,
            help="Run the Playwright specs of this folder. Default: the samples of the checkout.",
        ),
    ] = None,
) -> int:  # fmt: skip
    """Run database, API and workers on this machine until Ctrl-C."""
    code: int = services("dev").dev(port=port, fresh=fresh, project=project)
    return code


def demo() -> int:
    """Run the services on this machine, submit a sample suite, and end."""
    code: int = services("demo").demo()
    return code


def services(command: str) -> ModuleType:
    try:
        return import_module(f"qgjob.{command}")
    except ImportError as error:
        hint = "run it from a checkout with its requirements installed, or from the container image"
        raise Usage(f"qgjob {command} needs the services, which are not installed here: {error}", hint=hint) from error
