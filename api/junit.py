"""A run's results as JUnit XML: one testsuite per target, failures where a test failed, errors where nobody knows. What
`qgjob report` tells beyond that is in properties: where it ran, how often, its video, the run's link and its costs."""

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC
from xml.etree.ElementTree import Element, SubElement, tostring

from qgjob.models.jobs import Job
from qgjob.models.runs import Failure, Run

ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """XML 1.0 has no way to write some characters, not even escaped."""
    return ILLEGAL.sub("\ufffd", text)


def junit_xml(run: Run, jobs: Sequence[Job], failures: Sequence[Failure], *, url: str) -> bytes:
    """`url`: where people look at the run."""
    root = Element("testsuites", name=f"qgjob run {run.run_id}")
    failed = {failure.job_id: failure for failure in failures}
    by_target: defaultdict[str, list[Job]] = defaultdict(list)
    for job in sorted(jobs, key=lambda job: (job.target, job.test_path, job.job_id)):
        selector = ",".join(f"{name}={value}" for name, value in sorted(job.selector.items()))
        by_target[f"{job.target}:{selector}" if selector else job.target].append(job)
    for target, members in by_target.items():
        counts = {"failures": 0, "errors": 0, "skipped": 0}
        suite = SubElement(root, "testsuite", name=clean(target), hostname=clean(run.org_id), tests=str(len(members)))
        suite.attrib["time"] = f"{sum(job.duration_s or 0 for job in members):.3f}"
        suite.attrib["timestamp"] = run.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
        add_properties(
            suite,
            {
                "run_id": run.run_id,
                "run_url": url,
                "app_version_id": run.app_version_id,
                "run_attempts": run.attempts,
                "run_installs": run.installs,
                "run_saved_s": round(run.saved_s, 1),
                **{f"label.{name}": value for name, value in sorted(run.labels.items())},
            },
        )
        for job in members:
            kind = add_case(suite, job, failed.get(job.job_id))
            if kind:
                counts[kind] += 1
        suite.attrib.update({name: str(count) for name, count in counts.items()})
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def add_case(suite: Element, job: Job, failure: Failure | None) -> str | None:
    """The counter of its testsuite that the job belongs to; None: it passed."""
    case = SubElement(
        suite,
        "testcase",
        classname=clean(job.app_version_id),
        name=clean(job.test_path),
        file=clean(job.test_path),
        time=f"{job.duration_s or 0:.3f}",
    )
    known: dict[str, str | float | None] = {
        "job_id": job.job_id,
        "attempts": job.attempts,
        "flaky": "true" if job.flaky else None,
        "device": job.device,
    }
    if failure is not None:  # of the attempt that failed last
        if failure.line is not None:
            case.attrib["line"] = str(failure.line)
        known |= {
            "device": failure.device or job.device,
            "failed_test": failure.title,
            "video_url": failure.video_url,
            "video_offset_s": failure.video_offset_s,
        }
    add_properties(case, known)
    left = failure is not None and failure.verdict == "cancelled"  # also to another run, which has its result
    kind = "skipped" if left else verdict(job)
    message = clean((failure and failure.message) or job.message or "")
    first = next(iter(message.splitlines()), "")
    if kind:
        tag = {"failures": "failure", "errors": "error", "skipped": "skipped"}[kind]
        status = "cancelled" if left else job.status
        said = SubElement(case, tag, message=first or status, type=job.failure_kind or status)
        said.text = message or status
    elif job.flaky:
        SubElement(case, "flakyFailure", message=first or "an earlier attempt failed", type="flaky").text = message
    return kind


def add_properties(element: Element, values: dict[str, str | float | None]) -> None:
    """Before all else of it, as the schemas of readers want it."""
    properties = SubElement(element, "properties")
    for name, value in values.items():
        if value is not None:
            SubElement(properties, "property", name=clean(name), value=clean(str(value)))


def verdict(job: Job) -> str | None:
    """As add_case, by the job alone."""
    if job.status == "completed":
        return None
    if job.status == "failed":
        return "errors" if job.failure_kind == "infrastructure" else "failures"
    return "skipped"
