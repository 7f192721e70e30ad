"""Step outputs of GitHub Actions: `run-id` as soon as there is one, `conclusion` at whatever end.

The action replaces its shell by this program, because GitHub signals only the step's first process. So nobody is left
to read the exit code and write the outputs, and the program does it itself.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from qgjob.cli import output
from qgjob.errors import ClientError, Exit, Left, Signalled, Usage

VARIABLE = "GITHUB_OUTPUT"
CONCLUSIONS = {
    Exit.OK: "passed",
    Exit.TEST_FAILED: "failed",
    Exit.NO_VERDICT: "no_verdict",
    Exit.REFUSED: "refused",
    Exit.UNAVAILABLE: "unavailable",
    Exit.TIMED_OUT: "timed_out",
    Exit.INTERRUPTED: "interrupted",
    Exit.TERMINATED: "interrupted",
}


class Outputs:
    """Lines appended to a file; with none, to nothing."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def submitted(self, run_id: int) -> None:
        self._append("run-id", str(run_id))

    def concluded(self, code: int) -> None:
        if code in CONCLUSIONS:
            self._append("conclusion", CONCLUSIONS[Exit(code)])

    def _append(self, name: str, value: str) -> None:
        if self._file is None:
            return
        try:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{name}={value}\n")
        except OSError as error:  # the verdict is worth more than the output
            output.say(f"warning: the output {name} was not written: {error}")


def checked(*, wanted: bool) -> Path | None:
    """The file to write to, refused before anything is submitted."""
    if not wanted:
        return None
    named = os.environ.get(VARIABLE, "")
    if not named:
        raise Usage(f"--github-output: {VARIABLE} is not set", hint="outside of GitHub Actions, leave the flag out")
    return Path(named)


@contextmanager
def outputs(file: Path | None) -> Generator[Outputs]:
    """What goes wrong inside is a conclusion too."""
    written = Outputs(file)
    try:
        yield written
    except Left as left:
        written.concluded(left.signal.exit)
        raise
    except (ClientError, Signalled) as error:
        written.concluded(error.exit)
        raise
