"""Commands that others add: entry points of the group `qgjob.commands`, each a function or a `typer.Typer`.

They are looked for only where a word is not a command of ours, and loaded only when they are run, so that help stays
quick and a plug-in that is broken breaks nothing but itself.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
import typer.core
import typer.main

from qgjob.cli import output

GROUP = "qgjob.commands"


class Commands(typer.core.TyperGroup):
    """Our commands, then those of plug-ins. A plug-in never replaces one of ours."""

    def list_commands(self, ctx: Any) -> list[str]:
        ours = super().list_commands(ctx)
        return [*ours, *sorted(installed().keys() - set(ours))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """For help and completion a plug-in is not loaded: it would cost what it imports."""
        ours = super().get_command(ctx, cmd_name)
        if ours is not None or cmd_name not in (found := installed()):
            return ours
        entry = found[cmd_name]
        source = entry.dist.name if entry.dist else entry.value

        def placeholder() -> None:
            """Replaced before it runs."""

        placeholder.__doc__ = f"Added by {output.one_line(source)}."
        return as_command(placeholder, cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if super().get_command(ctx, name) is None and (entry := installed().get(name)):
            try:
                return name, as_command(entry.load(), name), args[1:]
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a plug-in may do anything
                why = output.one_line(str(error)) or type(error).__name__
                output.say(f"warning: the command {name} ({entry.value}) cannot be used: {why}")
                ctx.fail(f"No such command '{name}'.")
        return super().resolve_command(ctx, args)


def installed() -> dict[str, EntryPoint]:
    """By the word that runs it. A word that no shell would type as one is left out."""
    return {entry.name: entry for entry in entry_points(group=GROUP) if not entry.name.startswith("-")}


def as_command(found: Any, name: str) -> Any:
    """What a plug-in gives, as a command of that name."""
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
    else:
        alone = typer.Typer(rich_markup_mode=None, add_completion=False)
        alone.command(name)(found)
        command = typer.main.get_command(alone)
    command.name = name
    return command
