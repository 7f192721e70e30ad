"""An event in a few lines for people, the same in every chat. Its words come from tests and submitters: they are one
line each, without control characters, and chats are given them as text, never as markup."""

import re

import msgspec
from msgspec import Struct

from api.notifiers import Notice

# Control characters, and those that reorder a line or that nobody sees.
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")
MOST_FAILURES = 5
SIGNS = {"completed": "✅", "failed": "❌", "cancelled": "⏹️"}


class Failure(Struct):
    test_path: str = ""
    target: str = ""
    failure_kind: str | None = None
    message: str | None = None


class ToldRun(Struct):
    run_id: int
    app_version_id: str
    status: str
    total: int
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    flaky: int = 0
    labels: dict[str, str] = {}


class ToldJob(Struct):
    job_id: int
    app_version_id: str
    test_path: str
    target: str
    device: str | None = None
    message: str | None = None


class Told(Struct):
    """What is read of an event's data."""

    run: ToldRun | None = None
    job: ToldJob | None = None
    failures: list[Failure] = []


class Line(Struct, frozen=True):
    """`name` in bold, then `text`."""

    name: str
    text: str


class Summary(Struct, frozen=True):
    """`good`: whether to be glad of it; None: neither."""

    title: str
    lines: list[Line]
    good: bool | None = None
    link: str | None = None


def clean(value: object, longest: int = 200) -> str:
    """One line of text."""
    text = " ".join(UNSEEN.sub(" ", str(value)).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def summary(notice: Notice) -> Summary:
    """What is worth telling; of events that look like none of ours, what they say of themselves."""
    kind, data = clean(notice.event.get("type")), notice.data
    if kind == "webhook.test":
        return Summary("qgjob can reach you", [Line("Organisation", clean(notice.org_id))], good=True, link=notice.link)
    try:
        told = msgspec.convert(data, Told)
    except msgspec.ValidationError:
        told = Told()
    if kind.startswith("run.") and told.run is not None:
        return of_run(kind, told.run, told.failures, notice.link)
    if kind.startswith("job.") and told.job is not None:
        return of_job(kind, told.job, notice.link)
    lines = [Line(clean(name, 40), clean(value)) for name, value in data.items() if isinstance(value, str | int)]
    return Summary(kind, lines[:10], link=notice.link)


def of_run(kind: str, run: ToldRun, failures: list[Failure], link: str | None) -> Summary:
    build = clean(run.app_version_id)
    labels = ", ".join(f"{clean(name, 40)}={clean(value, 60)}" for name, value in run.labels.items())
    about = [Line("Labels", clean(labels))] if labels else []
    if kind != "run.finished":
        return Summary(f"Run {run.run_id} of {build}: {run.total} jobs submitted", about, link=link)
    counts = {"failed": run.failed, "cancelled": run.cancelled, "flaky": run.flaky}
    result = [f"{run.completed} of {run.total} passed", *(f"{count} {name}" for name, count in counts.items() if count)]
    lines = [Line("Result", " · ".join(result)), *about]
    for failure in failures[:MOST_FAILURES]:
        why = failure.message or failure.failure_kind or "failed"
        lines.append(Line(f"{clean(failure.test_path, 120)} ({clean(failure.target)})", clean(why)))
    if (more := run.failed - len(failures[:MOST_FAILURES])) > 0:
        lines.append(Line("More failures", str(more)))
    verdict = "passed" if run.status == "completed" else clean(run.status)
    title = f"{SIGNS.get(run.status, '')} Run {run.run_id} of {build} {verdict}".strip()
    return Summary(title, lines, good=run.status == "completed", link=link)


def of_job(kind: str, job: ToldJob, link: str | None) -> Summary:
    what = kind.partition(".")[2]
    lines = [Line("Test", clean(job.test_path)), Line("Target", clean(job.target))]
    if job.device:
        lines.append(Line("Device", clean(job.device)))
    if job.message and what in ("failed", "retried"):
        lines.append(Line("Message", clean(job.message, 300)))
    title = f"{SIGNS.get(what, '')} Job {job.job_id} of {clean(job.app_version_id)} {what}".strip()
    return Summary(title, lines, good={"completed": True, "failed": False}.get(what), link=link)
