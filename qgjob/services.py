"""The API and the workers as child processes on one database, for `qgjob dev` and `qgjob demo`.

The published package has no services in it: these are the checkout's, started the way production starts them.
"""

import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import httpx
from rich.console import Console

from qgjob.children import CannotRun, Child, free_port, wait_until
from qgjob.errors import Exit

TARGETS = ("emulator", "device")
DEVICES = 2  # per target
PLAYWRIGHT = Path("node_modules", "@playwright", "test")
NPM_LIMIT_S = 120
READY_LIMIT_S = 60

Say = Callable[[str], None]


class Stopped(BaseException):
    """Somebody asked this process to end. Not an Exception: nothing on the way may take it for a failure."""


@dataclass(frozen=True)
class Services:
    url: str
    executor: str
    project: Path
    children: Sequence[Child]

    def check(self, *others: Child) -> None:
        """Raise for the first that is no longer there."""
        for child in (*others, *self.children):
            if not child.running:
                raise CannotRun(f"{child.name} ended by itself. Its last lines:\n{child.last_lines()}")


@contextmanager
def running(database_url: str, *, port: int, logs: Path, say: Say, project: Path | None = None) -> Generator[Services]:
    """The API on this port (0: any free one) and a worker for each target, ready; stopped at the end of the block.
    `project`: where the specs are, instead of the samples."""
    root = checkout()
    env = environment() | {"QGJOB_DATABASE_URL": database_url, "PYTHONUNBUFFERED": "1"}
    env |= {"QGJOB_STORE_URL": (logs.parent / "store").as_uri(), "QGJOB_CACHE_DIR": str(logs.parent / "cache")}
    logs.mkdir(exist_ok=True)
    if project is None:
        project = root / "tests" / "samples"
        executor = _executor_of_samples(project, logs, say)
    else:
        executor = _executor_of(project)
    say("preparing the database")
    migrate(root, env, logs)
    with ExitStack() as stack:
        say("starting the API")
        api, url = _start_api(root, env, port, logs)
        stack.callback(api.stop, (signal.SIGTERM, 5))
        say("starting the workers")
        workers: list[Child] = []
        stack.callback(_stop_workers, workers)
        for target in TARGETS:
            worker = [sys.executable, "-m", "worker", "--name", f"dev-{target}", "--target", target]
            worker += ["--devices", str(DEVICES), "--executor", executor, "--project", str(project)]
            worker += ["--backend-setting", "install_s=2"]
            workers.append(Child(f"worker-{target}", worker, log=logs / f"worker-{target}.log", env=env, cwd=root))
        services = Services(url, executor, project, [api, *workers])
        for target in TARGETS:
            if not wait_until(partial(_is_listed, services, f"dev-{target}"), READY_LIMIT_S, every=0.1):
                raise CannotRun(f"the worker for {target} did not register: see {logs / f'worker-{target}.log'}")
        yield services


def checkout() -> Path:
    """The folder with the services beside this package."""
    root = Path(__file__).resolve().parent.parent
    if not all((root / folder).is_dir() for folder in ("api", "worker", "sql", "alembic")):
        raise CannotRun(
            "this is the qgjob client alone: qgjob dev and qgjob demo start the services of a checkout "
            "(clone the repository, then: make demo)",
            exit_code=Exit.USAGE,
        )
    return root


def environment() -> dict[str, str]:
    """Ours without what would send a service or a client elsewhere."""
    kept = "QGJOB_WEBHOOK_ALLOW"  # or no webhook to this machine could be tried
    return {name: value for name, value in os.environ.items() if name == kept or not name.startswith(("PG", "QGJOB_"))}


@contextmanager
def stoppable() -> Generator[None]:
    """Let the first Ctrl-C, SIGTERM or closed terminal end the block; later ones must not disturb the tidying up."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def guarded(work: Callable[[], int], console: Console, *, stopped: int) -> int:
    """The exit code of the work. What went wrong is said in words; `stopped` is the code when somebody ended it."""
    try:
        with stoppable():
            return work()
    except Stopped:
        console.print("stopped")
        return stopped
    except CannotRun as problem:
        console.print(f"error: {problem}", markup=False)
        return problem.exit_code
    except (OSError, httpx.HTTPError) as problem:
        console.print(f"error: {type(problem).__name__}: {problem}", markup=False)
        return Exit.UNAVAILABLE


def _executor_of(project: Path) -> str:
    """Nothing is installed into somebody's project, and nothing stands in for its tests."""
    if not (project / PLAYWRIGHT).is_dir():
        raise CannotRun(f"there is no Playwright in {project}; run there: npm install", exit_code=Exit.USAGE)
    if shutil.which("node") is None:
        raise CannotRun("there is no Node.js here, which Playwright needs", exit_code=Exit.USAGE)
    return "playwright"


def _executor_of_samples(project: Path, logs: Path, say: Say) -> str:
    """`playwright` where it can run, `simulated` where not, and a word on why."""
    if not project.is_dir():
        raise CannotRun(f"the sample tests are missing: {project}", exit_code=Exit.USAGE)
    installed = project / PLAYWRIGHT
    if not installed.is_dir():
        npm = shutil.which("npm")
        if npm is None or shutil.which("node") is None:
            say("note: no Node.js here, so the simulated executor stands in for Playwright")
            return "simulated"
        say("installing Playwright for the sample tests (once)")
        command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock"]
        install = Child("npm install", command, log=logs / "npm.log", cwd=project)
        try:
            ended = wait_until(lambda: not install.running, NPM_LIMIT_S, every=0.1)
        finally:
            install.stop((signal.SIGTERM, 2))
        if not installed.is_dir():
            why = "failed" if ended else f"took longer than {NPM_LIMIT_S} s"
            say(f"note: npm install {why}, so the simulated executor stands in for Playwright")
            return "simulated"
    if shutil.which("node") is None:
        say("note: no Node.js here, so the simulated executor stands in for Playwright")
        return "simulated"
    return "playwright"


def migrate(root: Path, env: dict[str, str], logs: Path) -> None:
    """Bring the database that `env` names to the newest schema."""
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    migration = Child("alembic", command, log=logs / "alembic.log", env=env, cwd=root)
    try:
        wait_until(lambda: not migration.running, 300)
    finally:
        code = migration.stop((signal.SIGTERM, 2))
    if code != 0:
        raise CannotRun(f"the migrations failed. The end of {migration.log}:\n{migration.last_lines()}")


def _start_api(root: Path, env: dict[str, str], wanted: int, logs: Path) -> tuple[Child, str]:
    if wanted and _is_taken(wanted):
        raise CannotRun(f"port {wanted} is in use: choose another with --port (0: any free one)", exit_code=Exit.USAGE)
    said = ""
    for _ in range(1 if wanted else 4):
        port = wanted or free_port()
        url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "api", "--host", "127.0.0.1", "--port", str(port)]
        api = Child("api", command, log=logs / "api.log", env=env, cwd=root)
        ready = False
        try:
            ready = _gets_healthy(api, url)
        finally:
            if not ready:
                api.stop((signal.SIGTERM, 2))
        if ready:
            return api, url
        said = api.last_lines()
        if "address already in use" not in said:  # else somebody took the port before us: try another
            break
    raise CannotRun(f"the API did not start. The end of {logs / 'api.log'}:\n{said}")


def _gets_healthy(api: Child, url: str) -> bool:
    def ended_or_healthy() -> bool:
        return not api.running or _get(f"{url}/health") is not None

    return wait_until(ended_or_healthy, READY_LIMIT_S, every=0.05) and api.running


def _get(url: str) -> httpx.Response | None:
    try:
        # trust_env: a proxy for the outside must not be asked for what is on this machine.
        response = httpx.get(url, timeout=5, trust_env=False)
    except httpx.TransportError:
        return None
    return response if response.status_code == 200 else None


def _is_listed(services: Services, worker: str) -> bool:
    services.check()
    response = _get(f"{services.url}/workers")
    return response is not None and any(listed["name"] == worker for listed in response.json())


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _stop_workers(workers: list[Child]) -> None:
    """All at once, and without waiting for tests: the second signal hands everything back."""
    for worker in workers:
        if worker.running:
            worker.process.terminate()
    for worker in workers:
        worker.stop((signal.SIGTERM, 5))
