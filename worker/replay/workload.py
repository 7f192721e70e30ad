"""What is replayed: submissions with their tests and how long each takes. Read from a file, or drawn by `synthetic`."""

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, get_args

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from qgjob.models.words import MAX_JOBS_PER_RUN, Priority, Slug, Target, TestPath
from sql.virtual_time import VirtualTime

LONGEST_TEST_S = 86_400.0
# From the first submission to the last: idle workers send heartbeats, so that virtual time costs real time.
LONGEST_S = 366 * 86_400


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
    org_id: Slug
    app_version_id: Slug
    test_path: TestPath
    duration_s: float
    target: Target = "emulator"
    priority: Priority = "normal"


def targets(workload: Workload) -> list[Target]:
    used = {test.target for submission in workload for test in submission.tests}
    return [target for target in get_args(Target) if target in used]


def earlier(workload: Workload, random: Random, *, noise: float, runs: int) -> list[Workload]:
    """What ran before: each test of the workload once a round, with a duration that differs by the noise, and of builds
    that the workload does not have."""
    builds = {submission.app_version_id for submission in workload}
    prefix = "earlier-"
    while any(build.startswith(prefix) for build in builds):
        prefix += "-"
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
                f"{prefix}{number}",
                tuple(
                    Spec(path, target, varied(usual_s, random, noise))
                    for (path, target), usual_s in list(suite.items())[first : first + MAX_JOBS_PER_RUN]
                ),
            )
            for org_id, suite in suites.items()
            for first in range(0, len(suite), MAX_JOBS_PER_RUN)
        ]
        for number in range(1, runs + 1)
    ]


def varied(usual_s: float, random: Random, noise: float) -> float:
    """A duration around the usual one, which no job may exceed."""
    return min(usual_s * random.lognormvariate(0.0, noise), LONGEST_TEST_S)


def read(path: Path) -> Workload:
    return gathered(recorded(path))


def check(path: Path, time: VirtualTime) -> None:
    """Ask the database, which has the rules for names and paths, before anything is replayed."""

    @cache
    def ask_name(field: str, value: str) -> None:
        time.call("require_name", field=field, value=value)

    @cache
    def ask_path(test_path: str) -> None:
        time.call("read_jobs", jobs=Jsonb([{"test_path": test_path}]), defaults=Jsonb({}))

    for place, item in recorded(path):
        try:
            ask_name("org_id", item.org_id)
            ask_name("app_version_id", item.app_version_id)
            ask_path(item.test_path)
        except psycopg.Error as error:
            if error.sqlstate != "QJ422":
                raise
            raise BadWorkload(f"{place}: {error.diag.message_primary}") from None


def recorded(path: Path) -> list[tuple[str, Line]]:
    """The lines of a file with their places: JSON (a list of objects), or CSV with a heading."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows: Any = json.loads(text) if path.suffix == ".json" else list(csv.DictReader(io.StringIO(text, newline="")))
    except OSError as error:
        raise BadWorkload(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, csv.Error) as error:
        raise BadWorkload(f"{path} is not a recorded workload: {error}") from None
    except RecursionError:
        raise BadWorkload(f"{path} is not a recorded workload: it is nested too deeply") from None
    try:
        objects = msgspec.convert(rows, list[dict[str, Any]])
    except msgspec.ValidationError as error:
        raise BadWorkload(f"{path} is not a recorded workload: {error}") from None
    places = ((f"{path}, test {number}", row) for number, row in enumerate(objects, 1))
    return [(place, line(row, place)) for place, row in places]


def line(row: dict[str, Any], place: str) -> Line:
    said = {name: row[name] for name in Line.__struct_fields__ if row.get(name) not in (None, "")}
    for name, value in said.items():
        if isinstance(value, str) and any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in value):
            raise BadWorkload(
                f"{place}: {name} holds a NUL or half of a surrogate pair, which no text in PostgreSQL does"
            )
    try:
        found = msgspec.convert(said, Line, strict=False)
    except msgspec.ValidationError as error:
        raise BadWorkload(f"{place}: {error}") from None
    if not (0 <= found.at_s < math.inf and 0 < found.duration_s <= LONGEST_TEST_S):
        raise BadWorkload(f"{place}: at_s is 0 or more, and duration_s more than 0 and at most {LONGEST_TEST_S:.0f}")
    return found


def gathered(lines: Sequence[tuple[str, Line]]) -> Workload:
    """The time of the first is 0, so that seconds since 1970 are as good as any."""
    if not lines:
        raise BadWorkload("a workload has at least one test")
    first_s = min(item.at_s for _, item in lines)
    together: dict[tuple[float, str, str], list[Spec]] = {}
    for place, item in lines:
        at_s = item.at_s - first_s
        if at_s > LONGEST_S:
            raise BadWorkload(f"{place}: at_s, which is in seconds, is more than a year ({LONGEST_S}) after the first")
        tests = together.setdefault((at_s, item.org_id, item.app_version_id), [])
        if len(tests) == MAX_JOBS_PER_RUN:
            raise BadWorkload(
                f"{place}: more than {MAX_JOBS_PER_RUN} tests have its at_s, org_id and app_version_id, "
                "and a submission has no more"
            )
        tests.append(Spec(item.test_path, item.target, item.duration_s, item.priority))
    found = [Submission(at_s, org_id, build, tuple(tests)) for (at_s, org_id, build), tests in together.items()]
    return sorted(found, key=lambda submission: submission.at_s)
