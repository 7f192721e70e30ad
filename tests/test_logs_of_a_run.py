"""`qgjob logs --run-id`: what the failed jobs of a run printed, each under its test; or what all of them did."""

import json

from engine import Engine
from processes import Services
from stand_in import Answer, StandIn, job, page, qgjob, run


def test_the_logs_of_a_runs_failed_jobs_come_each_under_its_test(engine: Engine, services: Services) -> None:
    services.api()
    jobs = engine.submit("passes.js", "fails.js", "fails-too.js", "waits.js")
    passes, fails, too, _ = jobs.job_ids
    batch = engine.claim(engine.drive(), max_jobs=3)
    for job_id, log in ((passes, "all is well"), (fails, "\x1b[31mExpected: 1\r\n"), (too, "")):
        engine.start(batch.lease, job_id)
        ended = ("completed", None) if job_id == passes else ("failed", "test")
        engine.finish(batch.lease, job_id, *ended, log=log, message=None if log else "no such spec file: fails-too.js")
    printed = services.qgjob("logs", f"--run-id={jobs.run_id}")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout == (
        f"==> fails-too.js on emulator · job {too}, attempt 1 · failed (test) <==\n"
        "(printed nothing: no such spec file: fails-too.js)\n"
        f"\n==> fails.js on emulator · job {fails}, attempt 1 · failed (test) <==\nExpected: 1\n"
    )
    assert "\x1b[31mExpected" in services.qgjob("logs", f"--run-id={jobs.run_id}", "--raw").stdout
    alone = services.qgjob("logs", f"--job-id={too}")
    assert alone.stderr == f"attempt 1 of job {too} printed nothing: no such spec file: fails-too.js\n"
    everything = services.qgjob("logs", f"--run-id={jobs.run_id}", "--all").stdout
    assert everything.endswith(f"==> passes.js on emulator · job {passes}, attempt 1 · completed <==\nall is well\n")
    document = json.loads(services.qgjob("logs", f"--run-id={jobs.run_id}", "--json").stdout)
    assert document["schema"] == "qgjob.logs/v1"
    assert [(one["test_path"], one["attempt"], one["status"]) for one in document["data"]] == [
        ("fails-too.js", 1, "failed"),
        ("fails.js", 1, "failed"),
    ]
    assert document["data"][1]["log"] == "\x1b[31mExpected: 1\r\n"


def test_a_run_without_a_failure_says_so() -> None:
    with StandIn() as server:
        server.on("GET", "/runs/12", run("running", running=1))
        server.on("GET", "/jobs", page(job("running", attempts=0)))
        assert qgjob("logs", "--run-id=12", "--all", server=server).stderr == "no job of run 12 has a log yet\n"
        server.on("GET", "/jobs", page())
        assert qgjob("logs", "--run-id=12", server=server)[:3] == (0, "", "no job of run 12 has failed\n")


def test_every_page_of_jobs_is_read() -> None:
    with StandIn() as server:
        server.on("GET", "/runs/12", run("failed", failed=2))
        server.on("GET", "/jobs", page(job("failed", job_id=2), next_cursor=2), page(job("failed", job_id=1)))
        for job_id in (1, 2):
            server.on("GET", f"/jobs/{job_id}/log", {"job_id": job_id, "attempt": 1, "log": f"said {job_id}"})
        result = qgjob("logs", "--run-id=12", server=server)
        assert ("cursor", "2") in server.asked("GET", "/jobs")[1].query
    assert [line for line in result.stdout.splitlines() if line.startswith("said")] == ["said 2", "said 1"]


def test_a_flag_of_one_job_is_refused_for_a_run_and_the_other_way_round() -> None:
    with StandIn() as server:
        for flags in (
            ("--run-id=1", "--follow"),
            ("--run-id=1", "--attempt=1"),
            ("--job-id=1", "--all"),
            ("--job-id=1", "--run-id=1"),
            (),
        ):
            assert qgjob("logs", *flags, server=server).exit == 2
        server.on("GET", "/runs/1", Answer(404, {"type": "urn:qgjob:run_exists", "status": 404, "title": "No."}))
        assert qgjob("logs", "--run-id=1", server=server).exit == 4
        assert len(server.requests) == 1
