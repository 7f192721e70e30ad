"""The JUnit report, as the server writes it, into a file that is either whole or not there."""

import os
import tempfile
from pathlib import Path

from qgjob.cli import output
from qgjob.client import Client
from qgjob.errors import ClientError, NotWritten, Usage

EMPTY = b'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites tests="0" failures="0" errors="0"/>\n'


def checked(file: str) -> Path:
    """Refuse a place that cannot be written before an hour of tests, not after it."""
    path = Path(file)
    try:
        can_be = not path.is_dir() and path.parent.is_dir() and os.access(path.parent, os.W_OK)
    except OSError:  # longer than a name can be, for one
        can_be = False
    if not can_be:
        raise Usage(f"--junit-xml: cannot write {file}", hint="the folder must exist and be writable")
    return path


def write(path: Path, document: bytes) -> None:
    """Through a temporary file beside it, so that nobody reads half a report."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".junit-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(document)
            mask = os.umask(0)
            os.umask(mask)
            Path(temporary).chmod(0o666 & ~mask)  # as open() would have made it; mkstemp makes it private
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise NotWritten(f"the JUnit report was not written: {error}") from error


def save(client: Client, run_id: int, path: Path) -> None:
    write(path, client.junit_xml(run_id))


def save_what_there_is(client: Client, run_id: int, path: Path, *, patience_s: float) -> None:
    """After a timeout or a signal: the results so far. The reason to stop stays the outcome, whatever happens here."""
    try:
        write(path, client.junit_xml(run_id, patience_s=patience_s))
    except ClientError as error:
        output.say(f"warning: {path} was not written: {error.message}")
    else:
        output.say(f"{path} holds the results so far")
