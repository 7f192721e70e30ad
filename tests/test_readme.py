"""The README and the guides are a promise: their commands run as written, and they know every command and
setting."""

import os
import re
import subprocess
import sys
from pathlib import Path

import typer.main
from guides import API, GUIDES, README, WORKER, marked
from processes import CHECKOUT

from qgjob.cli import app
from qgjob.postgres import free_port


def test_the_commands_for_a_database_of_ones_own_run_as_written(database_url: str, tmp_path: Path) -> None:
    """Those of the service's guide go on where the README's end."""
    written = marked(README, "test_readme.py") + marked(API, "test_readme.py")
    script = re.sub(r"postgresql://user\S+", database_url, written)
    for port in ("8081", "8082"):
        assert port in script
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


def test_what_is_marked_as_run_by_a_test_is() -> None:
    marks = {(path, test) for path in GUIDES for test in re.findall(r"<!-- run by tests/(\S+) -->", GUIDES[path])}
    assert len(marks) == 4
    for path, test in marks:
        name = {README: "README", API: "API", WORKER: "WORKER"}[path]
        assert f'marked({name}, "{test}"' in (CHECKOUT / "tests" / test).read_text(), (path, test)


def test_every_command_has_help_an_example_and_a_place_in_the_readme() -> None:
    group = typer.main.get_command(app)
    commands = getattr(group, "commands", {})
    assert len(commands) > 10
    for name, command in commands.items():
        assert f"`qgjob {name}`" in GUIDES[README], name
        assert command.help, name
        assert "qgjob " in (command.help + (command.epilog or "")), name


def test_every_setting_from_the_environment_is_in_the_guide_of_who_sets_it() -> None:
    given_to_tests = {"QGJOB_ATTEMPTS", "QGJOB_DEVICE", "QGJOB_TARGET", "QGJOB_EVENTS", "QGJOB_SESSION"}
    given_to_tests |= {"QGJOB_ORG_ID", "QGJOB_APP_VERSION_ID"}
    of_services = GUIDES[API] + GUIDES[WORKER]
    guides = {"api": GUIDES[API], "worker": GUIDES[WORKER]} | dict.fromkeys(("sql", "alembic", "qgjob"), of_services)
    missing = {
        (folder, name)
        for folder, guide in guides.items()
        for path in (CHECKOUT / folder).rglob("*.py")
        for name in re.findall(r"""["'](QGJOB_[A-Z_]+)["']""", path.read_text())
        if f"`{name}`" not in guide and not (folder == "worker" and name in given_to_tests)
    }
    assert sorted(missing) == []
