"""GitHub's own parser accepts the shipped workflows and the action, and would not accept just anything."""

import fcntl
import shutil
import subprocess
from pathlib import Path

import pytest
from processes import CHECKOUT

HERE = Path(__file__).parent / "workflow-parser"
GITHUB = CHECKOUT / ".github"
FILES = [*GITHUB.glob("workflows/*.yml"), *GITHUB.glob("examples/*.yml"), GITHUB / "actions/run-tests/action.yml"]


@pytest.fixture(scope="session")
def parser() -> list[str]:
    """Installed and bundled once, like the packages of the samples."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed")
    bundle = HERE / "node_modules" / "check.cjs"
    with (HERE / "package.json").open() as lock:  # several test processes may come here at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not bundle.is_file() or bundle.stat().st_mtime < (HERE / "check.mjs").stat().st_mtime:
            for command in (
                ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"],
                ["npx", "esbuild", "check.mjs", "--bundle", "--platform=node", "--format=cjs", "--log-level=error",
                 f"--outfile={bundle}"],
            ):  # fmt: skip
                done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300, check=False)
                if done.returncode != 0 and command[0] == "npm":
                    pytest.skip(f"npm install failed: {done.stderr.strip()[-500:]}")
                assert done.returncode == 0, done.stderr
    return ["node", str(bundle)]


def complaints(parser: list[str], *files: Path) -> str:
    done = subprocess.run([*parser, *files], capture_output=True, text=True, timeout=60, check=False)
    assert bool(done.stdout) == (done.returncode != 0), done.stderr
    return done.stdout


def test_githubs_parser_accepts_what_is_shipped(parser: list[str]) -> None:
    assert len(FILES) > 7
    assert complaints(parser, *FILES) == ""


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("action.yml", "name: x\nruns:\n  using: composite\n  steps:\n    - run: echo\n", "shell"),
        ("a.yml", "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - runs: echo\n", "runs"),
        ("a.yml", "on: push\njobs:\n  a:\n    runs-on: x\n    steps: [{run: 'echo ${{ secret.x }}'}]\n", "secret"),
    ],
)
def test_githubs_parser_refuses_what_is_wrong(
    parser: list[str], name: str, text: str, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    assert complaint in complaints(parser, tmp_path / name)
