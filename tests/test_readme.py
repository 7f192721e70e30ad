"""The README is a promise: its commands run as written, and it knows every command and setting."""

import os
import re
import subprocess
import sys
from pathlib import Path

import typer.main
from processes import CHECKOUT

from qgjob.cli import app
from qgjob.postgres import free_port

README = (CHECKOUT / "README.md").read_text()


def test_the_commands_for_a_database_of_ones_own_run_as_written(database_url: str, tmp_path: Path) -> None:
    block = re.search(r"<!-- run by tests/test_readme.py -->\n```sh\n(.*?)```", README, re.S)
    assert block
    script = re.sub(r"postgresql://user\S+", database_url, block[1])
    for port in ("8081", "8082"):
        script = script.replace(port, str(free_port()))
    # The services it leaves in the background end with it.
    script = f"set -e\ntrap 'kill $(jobs -p); wait' EXIT\n{script}"
    # Specs named by glob or path are the samples'; simulated devices run any of them.
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=CHECKOUT,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Run 2 passed" in done.stdout, done.stdout + done.stderr


def test_every_command_has_help_an_example_and_a_place_in_the_readme() -> None:
    group = typer.main.get_command(app)
    commands = getattr(group, "commands", {})
    assert len(commands) > 10
    for name, command in commands.items():
        assert f"`qgjob {name}`" in README, name
        assert command.help, name
        assert "qgjob " in (command.help + (command.epilog or "")), name


def test_every_setting_from_the_environment_is_in_the_readme() -> None:
    used = {
        name
        for folder in ("api", "worker", "sql", "alembic", "qgjob")
        for path in (CHECKOUT / folder).rglob("*.py")
        for name in re.findall(r"""["'](QGJOB_[A-Z_]+)["']""", path.read_text())
    }
    given_to_tests = {"QGJOB_ATTEMPTS", "QGJOB_DEVICE", "QGJOB_TARGET", "QGJOB_EVENTS", "QGJOB_SESSION"}
    assert sorted(name for name in used - given_to_tests if f"`{name}`" not in README) == []
