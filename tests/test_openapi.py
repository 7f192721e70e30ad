"""The OpenAPI document tells the truth: whatever a client makes of it, the API answers as it says, and never with 5xx."""

import subprocess
import sys
from pathlib import Path

from engine import Engine
from processes import CHECKOUT, Services

# Few examples, the same ones each time: what a change breaks shows, and a longer search is one flag away.
SEARCH = ["--phases=examples,coverage,fuzzing,stateful", "--max-examples=4", "--seed=1", "--generation-deterministic"]


def test_the_document_keeps_its_promises(engine: Engine, services: Services, tmp_path: Path) -> None:
    url = services.api()
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/schema/openapi.json", *SEARCH, "--no-color"],
        cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
