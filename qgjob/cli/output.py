"""The two streams: stdout carries the answer and nothing else, stderr carries the talk. The only module that writes."""

import os
import re
import stat
import sys
from collections.abc import Sequence
from shutil import get_terminal_size
from typing import Any, TextIO

import msgspec

from qgjob.errors import ClientError, NotWritten

# Escape sequences whole (CSI, OSC, DCS …, two-byte; an unfinished one takes no more than its line), then every other
# control character but newline and tab.
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b\n]*(?:\x07|\x1b\\|(?=\n)|$)|[ -/]*[0-~])")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# What GitHub's runner reads as commands; it trims lines before it looks.
COMMANDS = re.compile(r"^\s*::|##\[", re.MULTILINE)
# Columns that are cut where they do not fit on a terminal.
LONGEST = {"BUILD": 20, "INSTALLED": 20, "LABELS": 40}
# Whether it reads any just now; see annotations.commands_stopped.
commands_obeyed = True


def clean(text: str) -> str:
    """What a server, a log or a file name says, unable to move a terminal's cursor or to reorder a line."""
    return CONTROLS.sub("", ESCAPES.sub("", text.replace("\r\n", "\n")))


def one_line(text: str) -> str:
    """The first line that says something."""
    return next((line.strip() for line in clean(text).splitlines() if line.strip()), "")


def said(message: str) -> str:
    """What a failed test says in one line: what was expected and received where it tells, else its first line."""
    lines = [line.strip() for line in clean(message).splitlines() if line.strip()]
    return ", ".join(line for line in lines if line.startswith(("Expected", "Received"))) or "".join(lines[:1])


def in_github_step() -> bool:
    """Whether GitHub's runner reads what is written here, and obeys some of it."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def inert(text: str) -> str:
    """Text in a step's log that the runner takes for no command: neither `::name::` at the start of a line nor
    `##[name]` anywhere in it."""
    return COMMANDS.sub(lambda match: " ".join(match[0]), text) if in_github_step() else text


def answer(text: str) -> None:
    """One part of the answer, on stdout."""
    text = inert(text)
    _write(sys.stdout, text if text.endswith("\n") else text + "\n")


def answer_as_printed(text: str) -> None:
    """What a test printed, unchanged: where the runner was told to obey nothing."""
    _write(sys.stdout, text if text.endswith("\n") else text + "\n")


def answer_bytes(data: bytes) -> None:
    """The answer as it came, for `logs --raw`."""
    sys.stdout.flush()
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except BrokenPipeError:
        _nobody_reads(sys.stdout)
    except OSError as error:
        _cannot_take_more(sys.stdout, error)


def mask(secret: str) -> None:
    """Have GitHub's runner put *** wherever this would be seen. Not where the order itself would be seen."""
    if in_github_step() and commands_obeyed and not is_file(sys.stderr):
        _write(sys.stderr, f"::add-mask::{secret}\n")


def is_file(stream: TextIO | None) -> bool:
    """Whether it is redirected into a file, where nobody obeys."""
    try:
        return stream is not None and stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):
        return False


def answer_json(kind: str, data: Any) -> None:
    """The whole answer as the one JSON document of `--json`."""
    _answer_document({"schema": f"qgjob.{kind}/v1", "data": data})


def say(text: str) -> None:
    """Talk: progress, hints, warnings."""
    _write(sys.stderr, inert(clean(text)) + "\n")


def say_error(error: ClientError, *, as_json: bool) -> None:
    """An error, for people on stderr and, where JSON was asked for, for programs on stdout."""
    if as_json:
        document: dict[str, Any] = {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "request_id": error.request_id,
            "retryable": error.retryable,
        }
        if error.run_id is not None:
            document["run_id"] = error.run_id
        _answer_document({"schema": "qgjob.error/v1", "error": document})
    say(f"error: {error.message}")
    if error.hint is not None:
        say(f"hint: {error.hint}")
    if error.request_id is not None:
        say(f"request-id: {error.request_id}")


def table(headings: str, rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need and lines never wrapped, so that grep, awk and a narrow pipe see whole rows. On a
    terminal that is too narrow, what machines name is cut in the middle."""
    names = headings.split()
    cells = [names, *([" ".join(clean(cell).split()) or "-" for cell in row] for row in rows)]
    widths = widths_of(cells)
    if sys.stdout and sys.stdout.isatty() and sum(widths) + 2 * len(widths) - 2 > get_terminal_size().columns:
        cells = [[middle_out(cell, LONGEST.get(name)) for name, cell in zip(names, row, strict=True)] for row in cells]
        widths = widths_of(cells)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def widths_of(cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*cells, strict=True)]


def middle_out(text: str, longest: int | None) -> str:
    """`3f2a91c04…5d70e1b2`: both ends of a hash or a list of labels say more than its beginning alone."""
    if longest is None or len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[len(text) - (longest - 1) // 2 :]}"


def fields(pairs: Sequence[tuple[str, str | None]]) -> str:
    """`name  value` lines, without the ones that have nothing to say."""
    shown = [(name, " ".join(clean(value).split())) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in shown)


def is_interactive() -> bool:
    """Whether somebody watches stderr. CI systems often pretend to be terminals."""
    return bool(sys.stderr and sys.stderr.isatty()) and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def _answer_document(document: dict[str, Any]) -> None:
    # The same document, but nothing in it that GitHub's runner takes for a command.
    _write(sys.stdout, msgspec.json.encode(document).decode().replace("##[", "#\\u0023[") + "\n")


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:  # started with the descriptor closed
        return
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _nobody_reads(stream)
    except OSError as error:
        _cannot_take_more(stream, error)


def _cannot_take_more(stream: TextIO, error: OSError) -> None:
    """A full disk, for one. An answer that is lost is no answer; talk may get lost."""
    _nobody_reads(stream)  # or Python would try again at the end, and have its own word and code
    if stream is sys.stdout:
        why = error.strerror or type(error).__name__
        raise NotWritten(f"the answer could not be written to stdout: {why}") from error


def _nobody_reads(stream: TextIO) -> None:
    # A reader that left (`qgjob list | head -1`) changes nothing about the outcome, so the exit code stays ours.
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def rows(headings: str, found: Sequence[Sequence[str]], *, empty: str) -> None:
    """A table as the answer; of nothing, the talk says so."""
    if found:
        answer(table(headings, found))
    else:
        say(empty)
