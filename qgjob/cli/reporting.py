"""How a step of CI tells what became of its run, whatever end it came to: outputs, annotations, the job summary."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
import typer.core

from qgjob.cli import annotations, github, job_summary, output, verdict, words
from qgjob.cli.attending import Attendant
from qgjob.client import Client
from qgjob.errors import ClientError, Exit, Left, Signalled
from qgjob.models.runs import Failure, Run
from qgjob.usage import usage

LISTED = 500
LOGS = annotations.AT_MOST
PATIENCE_S = 0.7  # of each request after a signal; see following
CONCLUSIONS = {
    Exit.OK: "passed",
    Exit.TEST_FAILED: "failed",
    Exit.USAGE: "invalid",
    Exit.REFUSED: "refused",
    Exit.UNAVAILABLE: "unavailable",
    Exit.TIMED_OUT: "timed_out",
    Exit.INTERRUPTED: "interrupted",
    Exit.TERMINATED: "interrupted",
}


class Reported(typer.core.TyperCommand):
    """A command whose end is told also where a flag or a variable is refused before it begins."""

    def make_context(self, info_name: Any, args: list[str], *more: Any, **extra: Any) -> Any:
        with Report(speaks="--json" not in args).of_any_end():
            return super().make_context(info_name, args, *more, **extra)


class Report:
    """Of one step. What is not known from the beginning is told to it. `junit_xml`: the file that holds the results,
    once there is one."""

    def __init__(self, *, speaks: bool) -> None:
        self.server_url = ""
        self.junit_xml: Path | None = None
        self._speaks = speaks and output.in_github_step()
        self.client: Client | None = None
        self.run_id: int | None = None
        self.attendant: Attendant | None = None
        self._told = False

    @property
    def url(self) -> str:
        return f"{self.server_url.rstrip('/')}/runs/{self.run_id}"

    def submitted(self, run_id: int) -> None:
        """At once, for steps that come later although this one is ended without a warning."""
        self.run_id = run_id
        github.write_outputs({"run-id": str(run_id), "url": self.url})

    def detached(self, total: int) -> None:
        github.write_outputs({"conclusion": "submitted", "total": str(total)})
        if (file := github.summary_file()) is not None:
            said = job_summary.text(f"run {self.run_id}: {words.count(total, 'job')} submitted, not waited for")
            job_summary.written(file, f"### qgjob: {said}\n\n")

    def ended(self, run: Run, code: Exit) -> None:
        """The run has ended, and this is its verdict."""
        github.write_outputs({"conclusion": self._conclusion(run, code)})
        self._tell(run, [self.attendant.note] if self.attendant and self.attendant.note else [], patience_s=None)

    @contextmanager
    def of_any_end(self) -> Generator[None]:
        """What goes wrong inside is an end too, and is told with what is known of the run."""
        try:
            yield
        except typer.Exit:  # --help
            raise
        except typer.TyperException as error:
            refused = usage(error, output.say)
            self._ended_by(CONCLUSIONS[refused.exit], refused.message, None)
            raise
        except ClientError as error:
            code = Exit(error.signal.exit) if isinstance(error, Left) else error.exit
            conclusion = "no_tests" if error.code == "no_tests" else CONCLUSIONS.get(code, "no_verdict")
            self._ended_by(conclusion, error.message, error.hint)
            raise
        except Signalled:
            self._ended_by(CONCLUSIONS[Exit.INTERRUPTED], "interrupted", None)
            raise
        except Exception as error:
            self._ended_by("no_verdict", f"{output.one_line(str(error)) or type(error).__name__}: a bug in qgjob", None)
            raise

    def _ended_by(self, conclusion: str, why: str, hint: str | None) -> None:
        github.write_outputs({"conclusion": conclusion})
        self._cut_short(why if hint is None else f"{why}\nhint: {hint}")

    def _conclusion(self, run: Run, code: Exit) -> str:
        if code is not Exit.NO_VERDICT:
            return CONCLUSIONS[code]
        if self.attendant is not None and self.attendant.no_device:
            return "no_device"
        return "infrastructure" if run.infrastructure else "cancelled"

    def _cut_short(self, why: str) -> None:
        run: Run | None = None
        if self.client is not None and self.run_id is not None and not self._told:
            try:
                run = self.client.run(self.run_id, patience_s=PATIENCE_S)
            except (ClientError, Signalled):
                run = None
        if run is not None:
            self._tell(run, [why], patience_s=PATIENCE_S)
            return
        if self._speaks and not self._told:
            annotations.note("error", why, title="qgjob")
        if (file := github.summary_file()) is not None and not self._told:
            job_summary.written(file, f"### qgjob: {job_summary.text(why)}\n\n")

    def _tell(self, run: Run, notes: list[str], *, patience_s: float | None) -> None:
        self._told = True
        github.write_outputs(totals(run, self.junit_xml))
        if run.lost_client:
            notes = [*notes, "cancelled because the client that waited for it was not heard of any more"]
        failures = self._failures(run, patience_s)
        if (file := github.summary_file()) is not None:
            job_summary.written(file, job_summary.document(run, failures, url=self.url, notes=notes))
        if not self._speaks:
            return
        for failure in [one for one in failures if one.verdict in annotations.LEVELS and one.log_tail][:LOGS]:
            target = words.target(failure.target, failure.selector)
            with annotations.group(f"{failure.verdict}: {failure.test_path} on {target}, the end of its log"):
                output.answer_as_printed(output.clean((failure.log_tail or "").replace("\r", "\n")))
        counted = run.failed + run.flaky
        annotations.annotate(failures, count=counted, summary=file is not None)
        if verdict.of_run(run) is Exit.NO_VERDICT or notes:
            said = " · ".join([verdict.headline(run), *notes])
            annotations.note("error", said, title="qgjob")

    def _failures(self, run: Run, patience_s: float | None) -> list[Failure]:
        if self.client is None or not run.failed + run.cancelled + run.flaky:
            return []
        try:
            return self.client.failures(run.run_id, limit=LISTED, patience_s=patience_s)
        except (ClientError, Signalled) as error:
            output.say(f"warning: the failures could not be read: {error}")
            return []


def totals(run: Run, junit_xml: Path | None) -> dict[str, str]:
    found = {
        "total": str(run.total),
        "passed": str(run.completed),
        "failed": str(run.failed - run.infrastructure),
        "flaky": str(run.flaky),
        "infra": str(run.infrastructure),
        "cancelled": str(run.cancelled),
        "installs": str(run.installs),
        "minutes-saved": f"{max(0.0, run.saved_s) / 60:.1f}",
    }
    if junit_xml is not None and junit_xml.is_file():
        found["junit-path"] = str(junit_xml.resolve())
    return found
