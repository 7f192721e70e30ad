"""The summary of a GitHub Actions job, as Markdown: what failed and why first, then what was flaky, then what it cost.

One that is larger than 1 MiB is dropped as a whole, so this one stops in time. Names and messages come from tests:
every character that means something in Markdown or HTML is written as a number.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from qgjob.cli import output, verdict, words
from qgjob.models.runs import Failure, Run

BUDGET = 900_000
# GitHub makes links of addresses, also of those that begin with `www.`
SPECIAL = re.compile(r"[^\w\s.,;/()=+'\"%·…-]|_|(?<=www)\.", re.IGNORECASE)
LONGEST = 300
TITLES = {
    "failed": "Failed",
    "infrastructure": "Lost to infrastructure",
    "cancelled": "Cancelled",
    "flaky": "Flaky: passed after a failure",
}


def written(file: Path, text: str) -> None:
    """Added to what the step has written already. Nothing that goes wrong here changes a verdict."""
    try:
        with file.open("a", encoding="utf-8", errors="replace") as summary:
            summary.write(text)
    except OSError as error:
        output.say(f"warning: the job summary was not written: {error}")


def document(run: Run, failures: Sequence[Failure], *, url: str, notes: Sequence[str], budget: int = BUDGET) -> str:
    """The whole of it, in at most `budget` bytes."""
    head, tail = list(heading(run, url, notes)), list(costs(run))
    left = budget - size("\n".join([*head, *tail])) - 500
    lines: list[str] = []
    shown = 0
    for line, is_row in tables(failures):
        left -= size(line) + 1
        if left < 0:
            break
        lines.append(line)
        shown += is_row
    more = run.failed + run.cancelled + run.flaky - shown
    if more > 0:
        flags = (f"--org-id={run.org_id}", f"--run-id={run.run_id}", "--limit=100")
        lines += ["", f"… and {more} more: {code(words.command('list', *flags))}"]
    return "\n".join([*head, *lines, *tail, "", ""])


def heading(run: Run, url: str, notes: Sequence[str]) -> Iterator[str]:
    title, _, rest = verdict.headline(run).partition(" · ")
    link = url_of(url)
    yield f"### qgjob: {f'[{text(title)}]({link})' if link else text(title)}"
    yield ""
    yield f"{text(rest)} · build {code(run.app_version_id)}"
    for note in notes:
        yield ""
        yield f"**{text(note)}**"


def tables(failures: Sequence[Failure]) -> Iterator[tuple[str, bool]]:
    """Lines, and whether each is that of a job."""
    for kind, title in TITLES.items():
        rows = [failure for failure in failures if failure.verdict == kind]
        if not rows:
            continue
        yield from ((line, False) for line in ("", f"#### {title}", ""))
        yield "| test | target | why | attempts | device | build | video |", False
        yield "|---|---|---|--:|---|---|---|", False
        for failure in rows:
            yield row(failure), True


def row(failure: Failure) -> str:
    where = f"{failure.test_path}:{failure.line}" if failure.line else failure.test_path
    said = output.said(failure.message or "")
    cells = (
        code(where),
        text(words.target(failure.target, failure.selector)),
        text(said) + (f" ({text(failure.failure_kind)})" if failure.failure_kind == "timeout" else ""),
        str(failure.attempts),
        text(failure.device or ""),
        code(failure.app_version_id),
        video(failure),
    )
    return f"| {' | '.join(cells)} |"


def video(failure: Failure) -> str:
    link = url_of(failure.video_url or "")
    at = f" at {words.duration(failure.video_offset_s)}" if failure.video_offset_s else ""
    return f"[video]({link}){at}" if link else ""


def costs(run: Run) -> Iterator[str]:
    if run.attempts:
        yield ""
        yield (
            f"{words.count(run.installs, 'installation')} for {words.count(run.attempts, 'attempt')}, instead of one"
            f" each: {words.duration(max(0.0, run.saved_s))} of device time saved."
        )


def text(raw: str) -> str:
    """Words on one line that are nothing but words."""
    line = " ".join(output.clean(raw).split())
    line = line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
    return SPECIAL.sub(lambda match: f"&#{ord(match[0])};", line)


def code(raw: str) -> str:
    return f"<code>{text(raw)}</code>"


def url_of(raw: str) -> str:
    """An address that can stand in a link, or nothing."""
    try:
        parts = urlsplit(raw)
    except ValueError:
        return ""
    return quote(raw, safe=":/?#@!$&'*+,;=%~-._") if parts.scheme in {"http", "https"} and parts.netloc else ""


def size(of: str) -> int:
    return len(of.encode("utf-8", "replace"))
