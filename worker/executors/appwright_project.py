"""What a project needs so that its AppWright specs can run: said when the worker starts, not by its first job."""

import json
import re
import subprocess
from pathlib import Path

from worker.config import ConfigError
from worker.printed import last_words
from worker.processes import inherited

ATTACH = Path(__file__).with_name("qgjob-attach.cjs")

PINS = (
    '{"dependencies": {"appwright": "0.1.1", "@playwright/test": "1.59.1"}, '
    '"overrides": {"typedarray.prototype.slice": "1.0.5", "@playwright/test": "$@playwright/test"}}'
)
_CHECK_S = 120  # Node reads some hundred modules, on a cold disk
_NAMES = ("appwright.config.ts", "appwright.config.mts", "appwright.config.js", "appwright.config.mjs")


def configuration(project: Path) -> str:
    """The file name of AppWright's configuration. Raises ConfigError."""
    for name in _NAMES:
        if (project / name).is_file():
            return name
    raise ConfigError(f"appwright: no {_NAMES[0]} in {project}; name another file with --setting config=FILE")


def check_versions(project: Path) -> str:
    """AppWright's version. Raises ConfigError for those that do not work, or not together."""
    appwright = _version(project / "node_modules" / "appwright")
    playwright = _version(project / "node_modules" / "@playwright" / "test")
    if appwright is None:
        raise ConfigError(f"appwright: no appwright in {project}; put {PINS} into its package.json, run `npm install`")
    if not appwright.startswith("0.1."):
        raise ConfigError(f"appwright: version {appwright} is not one of 0.1, which this executor knows; pin {PINS}")
    if playwright is None or _numbers(playwright) >= (1, 60):
        # microsoft/playwright#40197: `use.device`, which is all of AppWright's configuration, became an error.
        raise ConfigError(f"appwright: it works with @playwright/test before 1.60, not with {playwright}; pin {PINS}")
    if (project / "node_modules" / "appwright" / "node_modules" / "@playwright" / "test").exists():
        raise ConfigError(f"appwright: it has brought a second @playwright/test, which cannot work; pin {PINS}")
    return appwright


def missing_names(project: Path, node: str) -> list[str]:
    """What attaching replaces in AppWright and this version does not have. Raises ConfigError."""
    try:
        done = subprocess.run(  # noqa: S603
            [node, str(ATTACH), str(project)],
            cwd=project, env=inherited(), capture_output=True, text=True, timeout=_CHECK_S, check=True,
        )  # fmt: skip
        names: list[str] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"appwright: it cannot be loaded in {project}: {last_words(error.stderr)}") from None
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"appwright: it cannot be loaded in {project}: {error}") from None
    return names


def _version(package: Path) -> str | None:
    try:
        return str(json.loads((package / "package.json").read_bytes())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
