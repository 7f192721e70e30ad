"""Which one is meant: ids are numbers, and a few things have names, too. Nothing is sent that is neither."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches

import typer

from qgjob.cli import output
from qgjob.client import Client
from qgjob.errors import Refused, Usage


def given(identifier: str | None) -> str | None:
    """An id, and not an empty one, as a variable that was not set leaves it: that would address all of them."""
    if identifier == "":
        raise typer.BadParameter("it is empty")
    return identifier


def is_number(identifier: str) -> bool:
    """As JSON can tell it exactly."""
    return identifier.isascii() and identifier.isdigit() and len(identifier) < 17 and 1 <= int(identifier) < 2**53


def number_of(noun: str, lists: str) -> Callable[[str | None], str | None]:
    """What checks an option or argument that is the id of such a thing."""

    def checked(identifier: str | None) -> str | None:
        if given(identifier) is not None and not is_number(identifier or ""):
            message = f"there is no {noun} {identifier!r}: the id of a {noun} is a number from 1"
            raise Refused(message, hint=f"see {lists}", code=f"{noun}_exists")
        return identifier

    return checked


def found(noun: str, said: str, named: Callable[[], Iterable[tuple[str, int]]], *, hint: str) -> int:
    """The id: as said, or the one of that name."""
    if is_number(said):
        return int(said)
    ids = [identifier for name, identifier in named() if name == said]
    if not ids:
        raise Refused(f"there is no {noun} {said!r}", hint=hint, code=f"{noun.split()[-1]}_exists")
    if len(ids) > 1:
        raise Usage(f"more than one {noun} is called {said!r}: {', '.join(map(str, ids))}", hint=hint)
    return ids[0]


def beside(client: Client, org: str) -> str:
    """Of an organisation that is not there: the one whose name is most like it, for a sentence."""
    near = get_close_matches(org, [known.org_id for known in client.orgs()], n=1)
    return f", beside {near[0]}" if near else ""


def note_unknown(client: Client, org: str | None) -> None:
    """A slip of the pen looks like an organisation that has nothing yet."""
    if not org:
        return
    try:
        client.org(org)
    except Refused as refused:
        if refused.code == "org_exists":
            output.say(f"note: there is no organisation {org} yet{beside(client, org)}")
