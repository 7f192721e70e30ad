"""The README and the guides are a promise: their commands run as written, they know every command and setting, and
their links lead somewhere."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from guides import API, GUIDES, README, WORKER, links, marked, prose
from processes import CHECKOUT

import api.__main__
import worker.__main__
from qgjob.children import free_port
from qgjob.cli import app

PAGES = sorted({*CHECKOUT.glob("*.md"), *(CHECKOUT / ".github").rglob("*.md"), *map(CHECKOUT.joinpath, GUIDES)})


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


def shown(text: str) -> Iterator[list[str]]:
    """The words of each command in a page: in its scripts and sessions, and in its sentences."""
    fences = re.findall(r"^ *```(?:sh|console|yaml)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    spans = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]
    lines = [part for fence in fences for line in fence.replace("\\\n", " ").splitlines() for part in line.split("; ")]
    for line in [*lines, *spans]:
        if command := re.match(r"\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?=qgjob [a-z]|python -m (?:api|worker)\b)", line):
            yield shlex.split(line[command.end() :], comments=True)


def programs() -> dict[str, Any]:
    of_workers = typer.Typer()
    of_workers.command()(worker.__main__.work)
    apps = {"qgjob": app, "api": api.__main__.app, "worker": of_workers}
    return {name: typer.main.get_command(one) for name, one in apps.items()}


@pytest.mark.parametrize("path", [README, API, WORKER])
def test_every_command_that_is_shown_takes_the_flags_that_it_is_shown_with(path: str) -> None:
    known = programs()
    commands = list(shown(GUIDES[path]))
    assert len(commands) > 20
    for words in commands:
        command, rest = (known["qgjob"], words[1:]) if words[0] == "qgjob" else (known[words[2]], words[3:])
        while rest and rest[0] in getattr(command, "commands", {}):
            command, *rest = command.commands[rest[0]], *rest[1:]
        assert command is not known["qgjob"] or rest[0].startswith("--"), words
        flags = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        said = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert said <= flags | {"--help", "--install-completion"}, words


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


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: of two that are the same, the second gets a number."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE):
        anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        again = 0
        while (name := f"{anchor}-{again}" if again else anchor) in found:
            again += 1
        found.add(name)
    return found


@pytest.mark.parametrize("page", [str(page.relative_to(CHECKOUT)) for page in PAGES])
def test_every_link_leads_to_a_file_of_the_checkout_and_a_heading_in_it(page: str) -> None:
    for path, heading in links((CHECKOUT / page).read_text()):
        target = ((CHECKOUT / page).parent / path).resolve() if path else CHECKOUT / page
        assert target.is_relative_to(CHECKOUT), path
        assert target.exists(), path
        assert not heading or heading in anchors(target), (path, heading)
