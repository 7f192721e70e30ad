"""JUnit XML as a verdict: what pytest, Maestro, Detox, Gradle and most other runners can write."""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from msgspec import Struct

from worker.printed import MESSAGE, inert

_MAX_BYTES = 16 * 2**20
_MAX_TESTS = 500
_MAX_TITLE = 300
_MAX_MESSAGES = 750_000  # characters of all of them: with the titles less than the API takes, at four bytes each


class Report(Struct, frozen=True):
    """`message` is that of the first test that failed, and None when none did."""

    message: str | None
    tests: list[dict[str, Any]]


class ReportError(Exception):
    """There is no report to read; its message says why."""


def read(path: Path) -> Report:
    """The report that a runner wrote to `path`. Raises ReportError."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError:
        raise ReportError("it wrote no result file") from None
    if len(raw) > _MAX_BYTES:
        raise ReportError(f"its result file is larger than {_MAX_BYTES} bytes")
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw or b"\0" in raw:  # entities that grow; UTF-16, which would hide them
        raise ReportError("its result file is not plain JUnit XML")
    try:
        root = ET.fromstring(raw)  # noqa: S314  no entities are left that could be expanded
    except (ET.ParseError, ValueError, LookupError) as error:
        raise ReportError(f"its result file cannot be read: {error}") from None
    cases = list(root.iter("testcase"))
    if not cases:
        raise ReportError("its result file names no test")
    longest = min(MESSAGE, _MAX_MESSAGES // min(len(cases), _MAX_TESTS))
    tests = [_test(case, longest) for case in cases]
    failed = [test for test in tests if test["status"] == "failed"]
    if len(tests) > _MAX_TESTS:  # the failures must survive the cut
        tests = (failed + [test for test in tests if test["status"] != "failed"])[:_MAX_TESTS]
    return Report(failed[0]["message"] if failed else None, tests)


def _test(case: ET.Element, longest: int) -> dict[str, Any]:
    title = " › ".join(part for part in (case.get("classname"), case.get("name")) if part)
    status, message = "passed", None
    for child in case:
        if child.tag in ("failure", "error"):
            said = child.get("message") or (child.text or "").strip()
            status, message = "failed", inert(said, longest) or f"{child.tag} without a message"
            break
        if child.tag == "skipped":
            status, message = "skipped", inert(child.get("message") or "", longest) or None
    try:
        duration_s = max(0.0, float(case.get("time") or 0))
    except ValueError:
        duration_s = 0.0
    test = {"title": inert(title, _MAX_TITLE), "status": status, "duration_s": duration_s, "message": message}
    line = case.get("line", "")
    return test | ({"line": int(line)} if line.isascii() and line.isdigit() and len(line) < 10 else {})
