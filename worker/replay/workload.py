"""What is replayed: submissions with their tests and how long each takes. Read from a file, or drawn by `synthetic`."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, get_args

import msgspec

from qgjob.models import Priority, Target


class BadWorkload(Exception):
    """The workload cannot be replayed; the message says why."""


@dataclass(frozen=True)
class Spec:
    path: str
    target: Target
    duration_s: float
    priority: Priority = "normal"


@dataclass(frozen=True)
class Submission:
    """One run: what one team waits for."""

    at_s: float
    org_id: str
    app_version_id: str
    tests: tuple[Spec, ...]


Workload = Sequence[Submission]


class Line(msgspec.Struct):
    """A line of a recorded workload. Lines of one time, organisation and build are one submission."""

    at_s: float
    org_id: str
    app_version_id: str
    test_path: str
    duration_s: float
    target: Target = "emulator"
    priority: Priority = "normal"


def targets(workload: Workload) -> list[Target]:
    used = {test.target for submission in workload for test in submission.tests}
    return [target for target in get_args(Target) if target in used]


def earlier(workload: Workload, random: Random, *, noise: float, runs: int) -> list[Workload]:
    """What ran before: each test of the workload once a round, with a duration that differs by the noise."""
    suites: dict[str, dict[tuple[str, Target], float]] = {}
    for submission in workload:
        suite = suites.setdefault(submission.org_id, {})
        for test in submission.tests:
            suite.setdefault((test.path, test.target), test.duration_s)
    return [
        [
            Submission(
                0.0,
                org_id,
                f"earlier-{number}",
                tuple(Spec(path, target, usual_s * varied(random, noise)) for (path, target), usual_s in suite.items()),
            )
            for org_id, suite in suites.items()
        ]
        for number in range(1, runs + 1)
    ]


def varied(random: Random, noise: float) -> float:
    """A factor around 1."""
    return random.lognormvariate(0.0, noise)


def read(path: Path) -> Workload:
    """A recorded workload: JSON (a list of objects), or CSV with a heading."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows: Any = json.loads(text) if path.suffix == ".json" else list(csv.DictReader(text.splitlines()))
    except OSError as error:
        raise BadWorkload(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise BadWorkload(f"{path} is not a recorded workload: {error}") from None
    try:
        objects = msgspec.convert(rows, list[dict[str, Any]])
    except msgspec.ValidationError as error:
        raise BadWorkload(f"{path} is not a recorded workload: {error}") from None
    return gathered(line(row, f"{path}, test {number}") for number, row in enumerate(objects, 1))


def line(row: dict[str, Any], place: str) -> Line:
    try:
        found = msgspec.convert({name: row[name] for name in row if row[name] not in (None, "")}, Line, strict=False)
    except msgspec.ValidationError as error:
        raise BadWorkload(f"{place}: {error}") from None
    if not (0 <= found.at_s < 1e9 and 0 < found.duration_s <= 86_400):
        raise BadWorkload(f"{place}: at_s is 0 or more, and duration_s more than 0 and at most 86400")
    return found


def gathered(lines: Iterable[Line]) -> Workload:
    together: dict[tuple[float, str, str], list[Spec]] = {}
    for item in lines:
        tests = together.setdefault((item.at_s, item.org_id, item.app_version_id), [])
        tests.append(Spec(item.test_path, item.target, item.duration_s, item.priority))
    if not together:
        raise BadWorkload("a workload has at least one test")
    found = [Submission(at_s, org_id, build, tuple(tests)) for (at_s, org_id, build), tests in together.items()]
    return sorted(found, key=lambda submission: submission.at_s)
