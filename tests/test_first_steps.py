"""The commands a newcomer types, as processes over HTTP on a real database and a worker."""

import json
from xml.etree import ElementTree

import pytest
from engine import Engine
from processes import Services

from qgjob.children import wait_until


@pytest.fixture
def served(services: Services) -> Services:
    services.api()
    services.worker("phones", "--devices", "2", "--setting", "duration_s=0.05", "--backend-setting", "install_s=0.2")
    return services


def test_the_five_commands_of_the_design(served: Services, engine: Engine) -> None:
    submitted = served.qgjob(
        "submit", "--org-id=qualgent", "--app-version-id=xyz123", "--test=tests/onboarding.spec.js"
    )
    assert submitted.returncode == 0, submitted.stderr
    waited = served.qgjob(
        "submit", "--org-id=qualgent", "--app-version-id=v1.2.3", "--test=tests/checkout.spec.js", "--target=emulator",
        "--priority=high", "--wait",
    )  # fmt: skip
    assert waited.returncode == 0, waited.stderr
    job = engine.value("select job_id from reporting.jobs where app_version_id = 'v1.2.3'")
    status = served.qgjob("status", f"--job-id={job}")
    assert status.returncode == 0
    assert "completed" in status.stdout
    assert served.qgjob("status", "--job-id=abc456").returncode == 4
    listed = served.qgjob("list", "--org-id=qualgent", "--status=running", "--limit=10")
    assert listed.returncode == 0
    assert served.qgjob("stats").returncode == 0
    assert served.qgjob("health").returncode == 0


def test_a_failing_test_fails_the_command_and_the_report_says_which(served: Services) -> None:
    shell = served.qgjob(
        "submit", "--org-id=acme", "--app-version-id=v1", "--test=tests/*.spec.js", "--retries=1", "--wait",
        "--junit-xml=report.xml", "--json",
    )  # fmt: skip
    try:
        report = ElementTree.parse(served.project / "report.xml").getroot()
    finally:
        (served.project / "report.xml").unlink(missing_ok=True)
    assert shell.returncode == 1, shell.stderr
    run = json.loads(shell.stdout)["data"]
    assert (run["total"], run["completed"], run["failed"], run["flaky"]) == (8, 7, 1, 1)
    assert run["installs"] <= 2 < run["attempts"]
    assert {case.get("name") for case in report.iter("testcase") if case.find("failure") is not None} == {
        "tests/coupon-fail.spec.js"
    }


def test_retrying_runs_only_what_failed(served: Services) -> None:
    arguments = (
        "--org-id=acme",
        "--app-version-id=v1",
        "--test=tests/login.spec.js",
        "--test=tests/coupon-fail.spec.js",
    )
    assert served.qgjob("submit", *arguments, "--wait").returncode == 1
    shell = served.qgjob("retry", "--run-id=1", "--wait", "--json")
    assert shell.returncode == 1
    assert json.loads(shell.stdout)["data"]["total"] == 1


def test_logs_groups_workers_devices_and_drain(served: Services, engine: Engine) -> None:
    assert served.qgjob("submit", "--org-id=acme", "--app-version-id=v1", "--test=a.spec.js", "--wait").returncode == 0
    assert served.qgjob("logs", "--job-id=1").returncode == 0
    assert "phones" in served.qgjob("workers").stdout
    assert "phones-1" in served.qgjob("devices").stdout
    served.qgjob("submit", "--org-id=acme", "--app-version-id=v1", "--test=b.spec.js", "--target=device")
    assert "device" in served.qgjob("groups").stdout
    assert served.qgjob("health").returncode == 3
    assert served.qgjob("workers", "drain", "1").returncode == 0
    assert wait_until(lambda: engine.value("select status from reporting.workers") == "ended", 30)
    engine.connection.execute("update qgjob.worker set ended_at = ended_at - interval '2 days'")
    engine.connection.execute("update qgjob.device set released_at = released_at - interval '2 days'")
    for command, name in (("workers", "phones"), ("devices", "phones-1")):
        assert name not in served.qgjob(command).stdout
        assert name in served.qgjob(command, "--all").stdout
    assert served.qgjob("devices", "quarantine", "phones-1", "--reason=sold").returncode == 0


def test_cancelled_and_unknown_are_never_success(served: Services) -> None:
    served.qgjob("submit", "--org-id=acme", "--app-version-id=v1", "--test=a.spec.js", "--target=browserstack")
    assert served.qgjob("cancel", "--run-id=1").returncode == 0
    assert served.qgjob("status", "--run-id=1", "--watch").returncode == 3
    assert served.qgjob("cancel", "--run-id=1").returncode == 0
    assert served.qgjob("cancel", "--run-id=99").returncode == 4


def test_an_interrupted_submission_repeated_with_its_key_creates_nothing_twice(
    served: Services, engine: Engine
) -> None:
    arguments = ("submit", "--org-id=acme", "--app-version-id=v1", "--test=a.spec.js", "--idempotency-key=build-7")
    assert served.qgjob(*arguments).returncode == 0
    assert served.qgjob(*arguments).returncode == 0
    assert engine.value("select count(*) from qgjob.run") == 1
    other = served.qgjob(
        "submit", "--org-id=acme", "--app-version-id=v1", "--test=b.spec.js", "--idempotency-key=build-7"
    )
    assert other.returncode == 4
    assert "idempotency key" in other.stderr
