"""A run's results as JUnit XML: one testsuite per target, failures where a test failed, errors where nobody knows."""

import re
from collections import defaultdict
from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from qgjob.models import Job, Run

ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str) -> str:
    """XML 1.0 has no way to write some characters, not even escaped."""
    return ILLEGAL.sub("\ufffd", text)


def junit_xml(run: Run, jobs: Sequence[Job]) -> bytes:
    root = Element("testsuites", name=f"qgjob run {run.run_id}")
    by_target: defaultdict[str, list[Job]] = defaultdict(list)
    for job in sorted(jobs, key=lambda job: (job.target, job.test_path, job.job_id)):
        selector = ",".join(f"{name}={value}" for name, value in sorted(job.selector.items()))
        by_target[f"{job.target}:{selector}" if selector else job.target].append(job)
    for target, members in by_target.items():
        suite = SubElement(root, "testsuite", name=clean(target), hostname=clean(run.org_id), tests=str(len(members)))
        counts = {"failures": 0, "errors": 0, "skipped": 0}
        for job in members:
            case = SubElement(
                suite,
                "testcase",
                classname=clean(job.app_version_id),
                name=clean(job.test_path),
                file=clean(job.test_path),
                time=f"{job.duration_s or 0:.3f}",
            )
            kind = verdict(job)
            if kind:
                counts[kind] += 1
                tag = {"failures": "failure", "errors": "error", "skipped": "skipped"}[kind]
                message = clean(job.message or job.status)
                SubElement(
                    case, tag, message=message.splitlines()[0], type=job.failure_kind or job.status
                ).text = message
            elif job.flaky:
                SubElement(case, "flakyFailure", message="an earlier attempt failed", type="flaky")
        suite.attrib.update({name: str(count) for name, count in counts.items()})
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


def verdict(job: Job) -> str | None:
    """The counter of its testsuite that this job belongs to; None: it passed."""
    if job.status == "completed":
        return None
    if job.status == "failed":
        return "errors" if job.failure_kind == "infrastructure" else "failures"
    return "skipped"
