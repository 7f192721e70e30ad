"""What an attempt leaves behind is kept, bounded, and offered for download; the store can never fail a test."""

import json
import os
import socket
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
from engine import Engine
from leaving_files import installed
from processes import Services, both_transports

from qgjob.children import wait_until


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def left(path: Path, name: str, content_type: str = "text/plain") -> dict[str, str]:
    return {"name": name, "content_type": content_type, "path": str(path)}


def work(services: Services, project: Path, *files: dict[str, str], **environment: str) -> None:
    services.worker(
        "worker", "--executor", "leaving_files", "--backend", "leaving_files", "--project", str(project),
        "--setting", f"files={json.dumps(files)}", **installed(project), **environment,
    )  # fmt: skip


def submitted(services: Services, *tests: str) -> None:
    result = services.qgjob(
        "submit", "--org-id=acme", "--app-version-id=v1", *(f"--test={test}" for test in tests), "--wait"
    )
    assert result.returncode in (0, 1), result.stderr


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def opened(url: str) -> Any:
    return urllib.request.urlopen(url, timeout=30)


@both_transports
def test_files_of_a_failed_job_come_back_byte_by_byte(services: Services, project: Path, tmp_path: Path) -> None:
    image = os.urandom(300_000)
    url = services.api()
    work(services, project, left(written(tmp_path, "a.png", image), "home.png", "image/png"))
    submitted(services, "a-fail.js", "b.js")
    listed = services.get("/jobs/1/artifacts")
    assert [(file["number"], file["name"], file["size"]) for file in listed] == [
        (1, "home.png", 300_000), (2, "device.log", len("worker-1 has crashed True")),
    ]  # fmt: skip
    assert "key" not in listed[0]
    assert [file["name"] for file in services.get("/jobs/2/artifacts")] == ["home.png"], "evidence is of failures only"
    with opened(f"{url}/jobs/1/artifacts/1/1") as answer:
        assert answer.read() == image
        headers = answer.headers
    assert headers["Content-Type"] == "image/png"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"].startswith('attachment; filename="home.png"')

    done = services.qgjob("artifacts", "download", "--job-id=1", f"--output={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1-1-home.png", "1-2-device.log"]
    assert (tmp_path / "out" / "1-1-home.png").read_bytes() == image


@both_transports
def test_an_attempt_tells_where_its_time_went(services: Services, project: Path, tmp_path: Path) -> None:
    services.api()
    work(services, project, left(written(tmp_path, "a", b"x"), "a.txt"))
    submitted(services, "a-fail.js")
    (attempt,) = services.get("/jobs/1/attempts")
    assert (attempt["reset_s"], attempt["video_offset_s"], attempt["install_s"] >= 0) == (0.25, 1.5, True)
    assert attempt["upload_s"] > 0
    rest = attempt["duration_s"] - attempt["reset_s"] - attempt["upload_s"]
    assert attempt["body_s"] == pytest.approx(max(0, rest), abs=1e-6)
    assert attempt["queue_s"] >= 0
    assert [file["name"] for file in attempt["files"]] == ["a.txt", "device.log"]
    assert attempt["log_tail"].startswith("begin a-fail.js")
    shown = services.qgjob("status", "--job-id=1", "--attempts")
    assert "UPLOAD" in shown.stdout
    document = json.loads(services.qgjob("status", "--job-id=1", "--attempts", "--json").stdout)
    assert document["data"]["attempts"][0]["reset_s"] == 0.25


@both_transports
def test_what_is_too_much_is_left_out_and_the_log_says_so(services: Services, project: Path, tmp_path: Path) -> None:
    services.api()
    os.mkfifo(tmp_path / "pipe")
    files = [
        left(written(tmp_path, "large", b"x" * 1_000_001), "trace.zip"),
        left(written(tmp_path, "small", b"x"), "one.txt"),
        left(tmp_path / "pipe", "pipe"),
        left(tmp_path / "gone", "gone.txt"),
        left(tmp_path / "small", "two.txt"),
        left(tmp_path / "small", "three.txt"),
    ]
    work(services, project, *files, QGJOB_ATTEMPT_MB="1", QGJOB_ATTEMPT_FILES="2")
    submitted(services, "a.js")
    assert [file["name"] for file in services.get("/jobs/1/artifacts")] == ["one.txt", "two.txt"]
    log = services.get("/jobs/1/log")["log"]
    assert "[qgjob] trace.zip was left out: with it, the files would be more than the 1 MB" in log
    assert "[qgjob] pipe was left out: it is no file" in log
    assert "[qgjob] gone.txt was left out: No such file" in log
    assert "[qgjob] three.txt was left out: more than 2 files" in log


def test_a_store_that_is_gone_fails_no_test(services: Services, project: Path, tmp_path: Path) -> None:
    services.api()
    store = tmp_path / "lost"
    work(services, project, left(written(tmp_path, "a", b"x"), "a.txt"), QGJOB_STORE_URL=store.as_uri())
    store.rmdir()
    store.write_bytes(b"no folder any more")
    submitted(services, "a.js")
    job = services.get("/jobs/1")
    assert (job["status"], services.get("/jobs/1/artifacts")) == ("completed", [])
    assert "[qgjob] a.txt was not stored: " in services.get("/jobs/1/log")["log"]


def test_the_next_test_does_not_wait_for_a_slow_store(
    services: Services, engine: Engine, project: Path, tmp_path: Path
) -> None:
    services.api()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts and never answers
        store = {
            "QGJOB_STORE_URL": "s3://bucket/x",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
        }
        services.qgjob("submit", "--org-id=acme", "--app-version-id=v1", "--test=a.js", "--test=b.js")
        work(services, project, left(written(tmp_path, "a", b"x"), "a.txt"), **store)

        def both_have_run() -> bool:
            running = engine.value("select count(*) from qgjob.job where status = 'running'")
            return running == 2 and not (project / "of-2").exists()  # the worker has taken its verdict

        assert wait_until(both_have_run, 30), "the second was started while the files of the first wait"
        services.stop("worker", 2)
    # A worker that is told to leave at once records what it has, without the files.
    assert engine.value("select count(*) from qgjob.job where status = 'completed'") == 2
    logs = [row.log for row in engine.rows("select log from qgjob.attempt")]
    assert all("a.txt was not stored: the device was needed" in log for log in logs), logs


def test_a_job_without_files_and_files_that_do_not_exist_are_told_apart(services: Services, engine: Engine) -> None:
    url = services.api()
    engine.submit("a.js")
    engine.run_all(engine.drive())
    assert services.get("/jobs/1/artifacts") == []
    assert "no file" in services.qgjob("artifacts", "list", "--job-id=1").stderr
    assert services.qgjob("artifacts", "download", "--job-id=1").returncode == 4
    for path, kind in (("/jobs/1/artifacts/1/1", "file_exists"), ("/jobs/9/artifacts", "job_exists")):
        with pytest.raises(HTTPError) as refused:
            opened(f"{url}{path}")
        with refused.value as answer:
            assert (answer.code, json.load(answer)["type"]) == (404, f"urn:qgjob:{kind}")


def test_a_file_that_the_store_has_lost_is_told_as_such(services: Services, project: Path, tmp_path: Path) -> None:
    url = services.api()
    work(services, project, left(written(tmp_path, "a", b"x"), "a.txt"))
    submitted(services, "a.js")
    (stored,) = (tmp_path / "store").rglob("1-a.txt")
    assert stored.relative_to(tmp_path / "store").as_posix() == "attempts/acme/1/1/1-a.txt"
    stored.unlink()
    with pytest.raises(HTTPError) as refused:
        opened(f"{url}/jobs/1/artifacts/1/1")
    with refused.value as answer:
        assert (answer.code, json.load(answer)["type"]) == (404, "urn:qgjob:file_is_stored")


HOSTILE = [
    "../../etc/passwd", "/etc/passwd", "..\\..\\boot.ini", "..", "", "-rf", "CON", ".bashrc",
    "a\x1b[2Jb\n::error::.txt", "x" * 300 + ".png", "naïve – 日本.png", "a\u202egnp.exe", "<script>.html", "%2e%2e%2fx",
]  # fmt: skip


@both_transports
def test_no_name_leads_out_of_the_folder(services: Services, project: Path, tmp_path: Path) -> None:
    url = services.api()
    page = written(tmp_path, "a", b"<script>alert(1)</script>")
    work(services, project, *(left(page, name, "text/html; charset=x") for name in HOSTILE))
    submitted(services, "a.js")
    out = tmp_path / "deep" / "out"
    done = services.qgjob("artifacts", "download", "--job-id=1", f"--output={out}")
    assert done.returncode == 0, done.stderr
    assert len(list(out.iterdir())) == len(HOSTILE)
    assert [path for path in (tmp_path / "deep").iterdir() if path != out] == []
    for path in out.iterdir():
        assert path.is_file()
        assert path.name[0].isdigit()
        assert not set(path.name) & set('<>:"|?*\\\x1b\n\u202e')
    assert "\x1b" not in services.qgjob("artifacts", "list", "--job-id=1").stdout
    for number in range(1, len(HOSTILE) + 1):
        with opened(f"{url}/jobs/1/artifacts/1/{number}") as answer:
            assert answer.headers["Content-Type"] == "application/octet-stream", "a browser must not run it"
            assert answer.headers["Content-Disposition"].startswith("attachment; ")


def test_nothing_is_overwritten(services: Services, project: Path, tmp_path: Path) -> None:
    services.api()
    work(services, project, left(written(tmp_path, "a", b"new"), "a.txt"), left(tmp_path / "a", "b.txt"))
    submitted(services, "a.js")
    mine = tmp_path / "out" / "1-2-b.txt"
    mine.parent.mkdir()
    mine.symlink_to(tmp_path / "elsewhere")
    refused = services.qgjob("artifacts", "download", "--job-id=1", f"--output={mine.parent}")
    assert refused.returncode == 2
    assert "exists already" in refused.stderr
    assert [path.name for path in mine.parent.iterdir()] == ["1-2-b.txt"]
    assert not (tmp_path / "elsewhere").exists()
    one = services.qgjob("artifacts", "download", "--job-id=1", "--name=a.*", f"--output={mine.parent}")
    assert one.returncode == 0, one.stderr
    assert (mine.parent / "1-1-a.txt").read_bytes() == b"new"
