"""A person takes a device out of use and puts it back: from the shell to the worker."""

from engine import Engine
from processes import Services

from qgjob.children import wait_until


def test_from_the_shell_to_the_worker(engine: Engine, services: Services) -> None:
    services.api()
    services.worker("lab-1", "--devices", "2", "--setting", "duration_s=0.2")
    assert wait_until(lambda: engine.value("select count(*) from qgjob.device") == 2, 60)
    first, second = (row.device_id for row in engine.rows("select device_id from qgjob.device order by name"))
    said = services.qgjob("devices", "quarantine", str(first), "--reason=the battery swells")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(f"Device {first} (lab-1-1) is in quarantine since ")
    assert said.stdout.endswith(" by a person: the battery swells\n")

    run = engine.submit(*(f"{number}.js" for number in range(4)))
    assert wait_until(lambda: engine.run(run.run_id).finished_at is not None, 60)
    assert engine.rows("select distinct device from reporting.attempts") == [("lab-1-2",)]

    listed = services.qgjob("devices")
    assert listed.stdout.splitlines()[1].split()[:5] == [str(first), "lab-1-1", "emulator", "quarantined", "lab-1"]
    assert "by a person: the battery swells" in listed.stderr
    said = services.qgjob("devices", "readmit", str(first), "--json")
    assert '"status": "idle"' in said.stdout or '"status":"idle"' in said.stdout
    engine.call("quarantine_device", device_id=second, reason="its turn")
    run = engine.submit("a.js", build="v2")
    assert wait_until(lambda: engine.run(run.run_id).finished_at is not None, 60)
    assert engine.job(run.job_ids[0]).device == "lab-1-1"


def test_what_runs_is_finished_and_the_rest_goes_back(engine: Engine, services: Services) -> None:
    services.worker("lab-1", "--setting", "duration_s=3")
    run = engine.submit(*(f"{number}.js" for number in range(6)))
    assert wait_until(lambda: engine.run(run.run_id).running == 1, 60)
    engine.call("quarantine_device", device_id=1, reason="the battery swells")
    assert wait_until(lambda: not engine.rows("select from qgjob.batch where ended_at is null"), 60)
    found = engine.run(run.run_id)
    assert (found.completed, found.pending) == (1, 5)
    assert engine.value("select count(*) from qgjob.attempt") == 1


def test_words_for_what_cannot_be(services: Services) -> None:
    services.api()
    said = services.qgjob("devices", "readmit", "7")
    assert (said.returncode, "There is no device 7." in said.stderr) == (4, True)
    said = services.qgjob("devices", "quarantine", "7")
    assert said.returncode == 2
