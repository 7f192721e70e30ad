"""What GitHub's runner obeys when a step prints it: annotations, groups, and the order to obey nothing for a while.

Annotations beyond ten of a kind are dropped without a word, and the runner adds one of its own for a failed step.
"""

import os
import posixpath
import secrets
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from qgjob.cli import output, words
from qgjob.models.runs import Failure

AT_MOST = 8
LONGEST = 1000  # of a message; GitHub cuts at 4096
LEVELS: dict[str, Literal["error", "warning"]] = {"failed": "error", "infrastructure": "error", "flaky": "warning"}
SAID = {"failed": "failed", "infrastructure": "lost to infrastructure", "flaky": "flaky"}


def annotate(failures: Sequence[Failure], *, count: int, summary: bool) -> None:
    """Where the failures are, the worst first; then one that says how many more there are. `count`: of all."""
    shown = [failure for failure in failures if failure.verdict in LEVELS][:AT_MOST]
    for failure in shown:
        target = words.target(failure.target, failure.selector)
        text = output.clean(failure.message or "").strip() or "no message"
        attempts = f" ({words.count(failure.attempts, 'attempt')})" if failure.attempts > 1 else ""
        note(
            LEVELS[failure.verdict],
            f"{text[:LONGEST]}{attempts}",
            title=f"{SAID[failure.verdict]}: {failure.test_path} on {target}",
            file=in_workspace(failure.test_path),
            line=failure.line,
        )
    if count > len(shown) > 0:
        where = "see the job summary" if summary else "qgjob list tells them"
        note("error", f"… and {count - len(shown)} more that did not simply pass; {where}", title="qgjob")


def note(
    level: Literal["error", "warning", "notice"],
    message: str,
    *,
    title: str,
    file: str | None = None,
    line: int | None = None,
) -> None:
    place = {"file": file, "line": str(line) if file and line else None, "title": title}
    properties = ",".join(f"{name}={escaped_property(output.clean(value))}" for name, value in place.items() if value)
    output.answer_as_printed(f"::{level} {properties}::{escaped(message)}")


@contextmanager
def group(title: str) -> Generator[None]:
    """Lines that are folded under this title, none of which is obeyed."""
    output.answer_as_printed(f"::group::{escaped(output.one_line(title))}")
    try:
        with commands_stopped():
            yield
    finally:
        output.answer_as_printed("::endgroup::")


@contextmanager
def commands_stopped() -> Generator[None]:
    """The runner obeys lines such as `::error::` on a step's output: not while tests speak."""
    if not output.in_github_step() or output.is_file(sys.stdout):
        yield
        return
    token = secrets.token_hex(16)
    output.answer_as_printed(f"::stop-commands::{token}")
    output.commands_obeyed = False
    try:
        yield
    finally:
        output.answer_as_printed(f"\n::{token}::")
        output.commands_obeyed = True


def escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escaped_property(text: str) -> str:
    return escaped(text).replace(":", "%3A").replace(",", "%2C")


def in_workspace(test_path: str) -> str:
    """A spec's path from the root of the checkout, which is what annotations are placed by."""
    workspace = os.environ.get("GITHUB_WORKSPACE", "")
    here = Path.cwd()
    if workspace and here.is_relative_to(Path(workspace).resolve()):
        return posixpath.join(here.relative_to(Path(workspace).resolve()).as_posix(), test_path).removeprefix("./")
    return test_path
