"""What is wrong with a command line, said alike by the client and the services: a sentence, and where the help is."""

import sys
from collections.abc import Callable
from typing import NoReturn

import typer

from qgjob.errors import ClientError, Exit, Usage


def usage(error: typer.TyperException, say: Callable[[str], None]) -> Usage:
    """typer's complaint in our form, with the help to look at; `say` shows it where no command is given."""
    path = getattr(getattr(error, "ctx", None), "command_path", "qgjob")
    if type(error).__name__ == "NoArgsIsHelpError":
        say(error.format_message())
        first = next(iter(error.ctx.command.commands))  # type: ignore[attr-defined]
        return Usage("no command given", hint=f"{path} {first} --help shows how to begin")
    return Usage(error.format_message().replace("Value error, ", ""), hint=f"{path} --help")


def run_service(app: typer.Typer) -> NoReturn:
    """A service from its command line. What ends it early is said on stderr and has an exit code."""
    try:
        sys.exit(app(standalone_mode=False))
    except typer.Abort:  # Ctrl-C before it has begun
        sys.exit(Exit.INTERRUPTED)
    except typer.TyperException as error:
        early: ClientError = usage(error, _say)
    except ClientError as error:
        early = error
    _say(f"error: {early.message}")
    if early.hint is not None:
        _say(f"hint: {early.hint}")
    sys.exit(early.exit)


def _say(text: str) -> None:
    typer.echo(text, err=True)
