"""A test_path is a relative POSIX path of a file inside the project, also after symlinks. Nothing else is run."""

from pathlib import Path

import pytest

from worker.executors.specs import SpecError, locate


@pytest.fixture
def project(tmp_path: Path) -> Path:
    inside = tmp_path / "project"
    (inside / "tests").mkdir(parents=True)
    (inside / "tests" / "a.spec.js").touch()
    (tmp_path / "secret.spec.js").touch()
    return inside


@pytest.mark.parametrize("path", ["tests/a.spec.js", "./tests/a.spec.js", "tests//a.spec.js"])
def test_a_file_of_the_project_is_found(project: Path, path: str) -> None:
    assert locate(project, path) == project / "tests" / "a.spec.js"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../secret.spec.js",
        "tests/../../secret.spec.js",
        "tests/../tests/a.spec.js",
        "--config=x",
        "-x",
        "tests\\a.spec.js",
        "tests/a.spec.js\0",
        "tests/a\n.spec.js",
    ],
)
def test_what_is_no_relative_path_is_refused(project: Path, path: str) -> None:
    with pytest.raises(SpecError, match="not a spec path"):
        locate(project, path)


@pytest.mark.parametrize("path", ["tests/b.spec.js", "tests", ".", "tests/a.spec.js/x", "x" * 5000, "\ud800"])
def test_what_is_no_file_is_said_to_be_missing(project: Path, path: str) -> None:
    with pytest.raises(SpecError, match="no such spec file"):
        locate(project, path)


def test_a_symlink_may_not_lead_out(project: Path) -> None:
    (project / "tests" / "out.spec.js").symlink_to(project.parent / "secret.spec.js")
    (project / "up").symlink_to(project.parent)
    for path in ("tests/out.spec.js", "up/secret.spec.js"):
        with pytest.raises(SpecError, match="out of the project"):
            locate(project, path)


def test_a_symlink_inside_and_a_symlinked_project_are_fine(project: Path) -> None:
    (project / "alias.spec.js").symlink_to("tests/a.spec.js")
    link = project.parent / "link"
    link.symlink_to(project)
    assert locate(link, "alias.spec.js") == project / "tests" / "a.spec.js"


def test_a_loop_of_symlinks_is_a_missing_file(project: Path) -> None:
    (project / "loop.spec.js").symlink_to("loop.spec.js")
    with pytest.raises(SpecError, match="no such spec file"):
        locate(project, "loop.spec.js")
