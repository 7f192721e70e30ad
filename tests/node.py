"""Projects with the real @playwright/test for tests of the playwright executor, installed once by npm."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent / "samples"


def installed() -> Path:
    """The samples' node_modules. Skips, and says why, where node is absent or its packages cannot be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    modules = SAMPLES / "node_modules"
    with (SAMPLES / ".npmrc").open() as lock:  # several test processes may come here at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (modules / "@playwright" / "test" / "cli.js").is_file():
            done = subprocess.run(
                ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"],
                cwd=SAMPLES,
                env={**os.environ, "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD": "1"},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if done.returncode != 0:
                pytest.skip(f"npm install failed: {done.stderr.strip()[-500:]}")
    return modules


def project(at: Path, **specs: str) -> Path:
    """A Playwright project with `tests/NAME.spec.js` for each NAME = body; `_` in a name reads as `-`."""
    (at / "node_modules").symlink_to(installed())
    (at / "playwright.config.js").write_text("module.exports = { testDir: '.' };\n")
    (at / "tests").mkdir()
    for name, body in specs.items():
        spec = at / "tests" / f"{name.replace('_', '-')}.spec.js"
        spec.write_text(f"const {{ test, expect }} = require('@playwright/test');\n{body}\n")
    return at
