"""A checkout whose services are stand-ins: real processes that keep the contract and do no work."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import qgjob
from qgjob import postgres

API = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = {}
        if self.path.startswith("/workers"):
            body = [{"name": path.name} for path in Path("registered").iterdir()]
        for page in Path("pages").iterdir():
            if self.path.startswith(f"/{page.name}?"):
                body = json.loads(page.read_text())
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
assert os.environ["QGJOB_DATABASE_URL"]
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""

WORKER = """
import os, sys, time
from pathlib import Path
print("driving devices")
Path("registered", sys.argv[sys.argv.index("--name") + 1]).write_text(str(os.getpid()))
time.sleep(600)
"""


class Checkout:
    """Starts `qgjob dev` and `qgjob demo` on the stand-ins, in a folder of their own, and ends what a test leaves."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "checkout"
        self.here = folder / "here"
        self.here.mkdir()
        shutil.copytree(Path(qgjob.__file__).parent, self.root / "qgjob", ignore=shutil.ignore_patterns("__pycache__"))
        for package, program in {"api": API, "worker": WORKER, "alembic": "", "sql": ""}.items():
            (self.root / package).mkdir()
            (self.root / package / "__init__.py").touch()
            (self.root / package / "__main__.py").write_text(program)
        (self.root / "tests/samples/node_modules/@playwright/test").mkdir(parents=True)
        (self.root / "registered").mkdir()
        (self.root / "pages").mkdir()
        self._started: list[subprocess.Popen[str]] = []

    def dev(self, port: int = 0, *, fresh: bool = False, project: Path | None = None) -> "subprocess.Popen[str]":
        of = None if project is None else str(project)
        return self._start(
            "from pathlib import Path; from qgjob.dev import dev; "
            f"raise SystemExit(dev({port}, {fresh}, {of!r} and Path({of!r})))"
        )

    def demo(self) -> "subprocess.Popen[str]":
        return self._start("from qgjob.demo import demo; raise SystemExit(demo())")

    def serves(self, page: str, answer: object) -> None:
        """What the API answers to GET /page?…"""
        (self.root / "pages" / page).write_text(json.dumps(answer))

    def processes(self) -> dict[int, str]:
        """What runs on the data of this test or out of its checkout: pid and command line."""
        marks = (str(self.here), str(self.root), str(postgres._elsewhere(self.here / ".qgjob/postgres")))
        workers = [note.read_text() for note in (self.root / "registered").iterdir()]
        listed = subprocess.run(["ps", "-wweo", "pid=,stat=,args="], capture_output=True, text=True, check=True).stdout
        found: dict[int, str] = {}
        for line in listed.splitlines():
            pid, stat, args = line.split(None, 2)
            if not stat.startswith("Z") and (pid in workers or any(mark in args for mark in marks)):
                found[int(pid)] = args
        return found

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()
        postgres.erase(self.here / ".qgjob/postgres")

    def _start(self, program: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=self.here,
            env=os.environ | {"PYTHONPATH": str(self.root)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process
