"""Lists that the server answers page by page."""

from qgjob.cli import output, words
from qgjob.transport import Params


def page_of(asked: Params, cursor: int | None) -> Params:
    """The query for the page that begins at a cursor; the first one without it."""
    return asked if cursor is None else [*asked, ("cursor", cursor)]


def say_more(*command: str, asked: Params, next_cursor: int | None) -> None:
    """The command that lists what comes after this page, if anything does."""
    if next_cursor is None:
        return
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in page_of(asked, next_cursor)]
    output.say(f"more: {words.command(*command, *flags)}")
