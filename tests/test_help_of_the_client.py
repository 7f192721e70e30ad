"""Every command explains itself with an example, quickly, and the same in a CI log as anywhere."""

import subprocess
import sys
from pathlib import Path

import pytest
from stand_in import environment, qgjob

COMMANDS = """
  submit ci status list runs report logs artifacts builds why cancel
  retry schedules orgs groups workers devices stats health webhooks dev demo replay
  login logout whoami token trust
""".split()  # noqa: SIM905


def test_the_help_names_every_command() -> None:
    listed = [line.split()[0] for line in qgjob("--help").stdout.split("Commands:")[1].splitlines() if line.strip()]
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize(
    "command",
    [
        *COMMANDS,
        "workers drain",
        "devices quarantine",
        "devices readmit",
        "artifacts list",
        "artifacts download",
        "builds add",
        "builds list",
        "builds show",
        "token create",
        "token list",
        "token revoke",
        "trust add",
        "trust list",
        "trust remove",
        "schedules add",
        "schedules list",
        "schedules show",
        "schedules set",
        "schedules pause",
        "schedules resume",
        "schedules remove",
        "schedules run-now",
        "orgs list",
        "orgs show",
        "orgs set",
        "orgs remove",
        *(f"webhooks {word}" for word in ("add", "list", "update", "remove", "test", "deliveries", "redrive")),
    ],
)
def test_a_command_has_help_with_an_example_that_is_its_own(command: str) -> None:
    result = qgjob(*command.split(), "--help", GITHUB_ACTIONS="true")
    assert (result.exit, result.stderr) == (0, "")
    assert f"    qgjob {command}" in result.stdout.split("Examples:")[1]
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("command", ["", "submit", "webhooks add"])
def test_h_is_help(command: str) -> None:
    asked = qgjob(*command.split(), "-h")
    assert (asked.exit, asked.stdout) == (0, qgjob(*command.split(), "--help").stdout)


def test_what_help_says_of_waiting_for_a_delivery_is_not_of_a_run() -> None:
    assert "run" not in qgjob("webhooks", "test", "--help").stdout.split("--timeout")[1].split("--")[0]


def test_the_version_is_the_answer() -> None:
    result = qgjob("--version")
    assert result.exit == 0
    assert result.stdout.startswith("qgjob ")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("qgjob su", "submit"),
        ("qgjob submit --target=", "browserstack:android"),
        ("qgjob submit --priority ", "urgent"),
        ("qgjob list --status ", "running"),
    ],
)
def test_a_shell_can_complete_commands_and_values(words: str, offered: str) -> None:
    variables = {"_QGJOB_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    assert offered in qgjob(**variables).stdout


def test_help_does_not_load_what_only_requests_need() -> None:
    program = (
        "import sys; from qgjob.__main__ import run; run(['submit', '--help']); "
        "print(sorted({'httpx', 'rich', 'ssl'} & sys.modules.keys()), file=sys.stderr)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, check=True, env=environment(None, {}), timeout=60)
    assert done.stderr.strip() == b"[]"


@pytest.mark.parametrize("command", ["dev", "demo", "replay"])
def test_the_services_are_said_to_be_missing_where_they_are(command: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.modules['qgjob.{command}'] = None")
    result = qgjob(command, PYTHONPATH=str(tmp_path))
    assert result.exit == 2
    assert "container image" in result.stderr
