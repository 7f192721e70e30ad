"""Which file a job's test_path names. SQL checked its form when it was submitted; what it means on this disk is known
only here, so it is checked again right before a process is started: symlinks, and files that are not there."""

from pathlib import Path, PurePosixPath


class SpecError(Exception):
    """The test_path names no spec of this project; its message is for whoever submitted it."""


def locate(project: Path, test_path: str) -> Path:
    """The spec's real path, inside `project`. Raises SpecError."""
    if not test_path or any(character < " " or character in "\\\x7f" for character in test_path):
        raise SpecError(f"not a spec path: {test_path!r}: no backslashes or control characters")
    if test_path.startswith("-"):
        raise SpecError(f"not a spec path: {test_path!r}: a leading '-' would read as an option")
    path = PurePosixPath(test_path)
    if path.is_absolute() or ".." in path.parts:
        raise SpecError(f"not a spec path: {test_path!r}: it must be relative to the project, without '..'")
    try:
        root = project.resolve(strict=True)
        spec = (root / path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):  # not there, a name too long, a loop of symlinks, a lone surrogate
        raise SpecError(f"no such spec file: {test_path}") from None
    if not spec.is_relative_to(root):
        raise SpecError(f"not a spec path: {test_path!r}: it leads out of the project")
    if not spec.is_file():
        raise SpecError(f"no such spec file: {test_path}")
    return spec
