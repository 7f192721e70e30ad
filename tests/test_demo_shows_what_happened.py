"""`qgjob demo` reports what the service did, doubts a wrong exit code, and is gone afterwards."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_checkout import Checkout

from qgjob.children import wait_until

AT = "2026-01-01T00:00:00Z"
RUN = {
    "org_id": "demo", "status": "failed", "seq": 9, "total": 6, "pending": 0, "queued": 0, "running": 0,
    "completed": 4, "failed": 2, "cancelled": 0, "infrastructure": 0, "flaky": 2, "attempts": 10, "installs": 2,
    "install_s": 4.0, "saved_s": 16.0, "labels": {}, "created_at": AT, "finished_at": AT,
}  # fmt: skip
JOB = {
    "org_id": "demo", "selector": {}, "reset": "reinstall", "priority": "normal", "failure_kind": None,
    "attempts": 2, "retries": 1, "timeout_s": 60, "device": None, "worker": None, "retry_of": None,
    "cancel_requested": False, "created_at": AT, "started_at": AT, "finished_at": AT, "duration_s": 0.5,
}  # fmt: skip
SPECS = (
    ("login", "completed", False, None),
    ("late-flaky", "completed", True, None),
    ("coupon-fail", "failed", False, "6.2 is not 5.58"),
)
SUBMIT = """
import sys, time
from pathlib import Path
print(sys.argv, "stand-in submit")
time.sleep({seconds})
raise SystemExit({code})
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path)
    builds = [{"run_id": number, "app_version_id": f"v1.{number}.0"} for number in (0, 1)]
    checkout.serves("runs", {"runs": [RUN | build for build in builds], "next_cursor": None})
    for run in builds:
        jobs = [
            JOB
            | run
            | {
                "job_id": 1,
                "test_path": f"tests/{name}.spec.js",
                "target": target,
                "status": status,
                "flaky": flaky,
                "message": message,
            }
            for name, status, flaky, message in SPECS
            for target in ("emulator", "device")
        ]
        checkout.serves("jobs", {"jobs": jobs, "next_cursor": None})
    yield checkout
    checkout.close()


def submit_ends_with(checkout: Checkout, code: int, seconds: float = 0) -> None:
    (checkout.root / "qgjob/__main__.py").write_text(SUBMIT.format(code=code, seconds=seconds))


def test_it_ends_with_a_table_the_failed_and_the_flaky_by_name_and_what_to_try_next(checkout: Checkout):
    submit_ends_with(checkout, 1)
    process = checkout.demo()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert [line.split() for line in out.splitlines()[:3]] == [
        ["build", "targets", "passed", "failed", "flaky", "installs", "one", "per", "test", "saved"],
        ["v1.0.0", "device,", "emulator", "4", "2", "2", "2", "10", "16", "s"],
        ["v1.1.0", "device,", "emulator", "4", "2", "2", "2", "10", "16", "s"],
    ]
    assert "failed  tests/coupon-fail.spec.js  4x  6.2 is not 5.58" in out
    assert "flaky   tests/late-flaky.spec.js  4x" in out
    assert "login.spec.js  " not in out
    assert "20 test runs on 4 installs: 32 s of device time saved." in out
    assert len(out.partition("Next:")[2].strip().splitlines()) == 3
    assert checkout.processes() == {}


@pytest.mark.parametrize("code", [0, 2])
def test_a_submission_that_does_not_end_as_it_should_is_a_bug(checkout: Checkout, code: int):
    submit_ends_with(checkout, code)
    process = checkout.demo()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 70
    assert f"it ended with {code}" in err
    assert "stand-in submit" in err
    assert out == ""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)])
def test_ending_it_half_way_leaves_nothing_behind(checkout: Checkout, number: signal.Signals, code: int):
    submit_ends_with(checkout, 1, seconds=600)
    process = checkout.demo()
    assert wait_until(lambda: len(list((checkout.root / "registered").iterdir())) == 2, 60)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == code
    assert wait_until(lambda: checkout.processes() == {}, 30), checkout.processes()
