"""What qgjob-reporter.cjs writes, as it comes. Field names are the reporter's."""

from collections.abc import Generator
from pathlib import Path

import msgspec
from msgspec import Struct


class Begin(Struct, tag_field="event", tag="begin"):
    """`files`: how many tests each file has that will run. Empty when a file could not be loaded: then none runs."""

    files: dict[str, int]


class TestBegin(Struct, tag_field="event", tag="test-begin"):
    file: str
    title: str


class Output(Struct, tag_field="event", tag="output"):
    file: str
    text: str


class Test(Struct):
    """`status` is what happened; `outcome` is how Playwright judges it: expected, unexpected, flaky or skipped. `line`:
    in the spec file, of the failure, else of the test."""

    title: str
    status: str
    outcome: str
    duration_s: float
    message: str | None
    line: int | None = None


class Attachment(Struct):
    """A file that a test left; `path` is as the test said it."""

    name: str
    content_type: str
    path: str


class TestEnd(Test, tag_field="event", tag="test-end", kw_only=True):
    """`reset_s`: what resetting the app took before it, where the worker did that."""

    file: str
    attachments: list[Attachment] = []
    reset_s: float = 0.0


class FileEnd(Struct, tag_field="event", tag="file-end"):
    """`timeout`: tests ran over their time, and no other failed. `message`: that of the first failure."""

    file: str
    ok: bool
    timeout: bool
    message: str | None
    duration_s: float
    tests: list[Test]


class Error(Struct, tag_field="event", tag="error"):
    """Outside of any test: a file that cannot be loaded, a set-up that failed. `file`: where it was thrown."""

    message: str
    stack: str
    file: str | None


class End(Struct, tag_field="event", tag="end"):
    status: str


RunnerEvent = Begin | TestBegin | Output | TestEnd | FileEnd | Error | End

_decoder = msgspec.json.Decoder(RunnerEvent)


def follow(path: Path) -> Generator[list[RunnerEvent], None, None]:
    """Each step reads what was appended since. A line that is not whole yet waits; one that is no event is left out."""
    rest = b""
    with path.open("rb") as file:
        while True:
            *lines, rest = (rest + file.read()).split(b"\n")
            events: list[RunnerEvent] = []
            for line in lines:
                try:
                    events.append(_decoder.decode(line))
                except (msgspec.DecodeError, UnicodeError):
                    continue
            yield events
