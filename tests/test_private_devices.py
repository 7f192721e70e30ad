"""A worker that was started for some organisations gives its devices to nobody else."""

from engine import Driver, Engine, refused
from processes import Services
from test_plans import rows_read

from qgjob.children import wait_until


def private(engine: Engine, *orgs: str, name: str = "private") -> Driver:
    worker = engine.call("register_worker", name=name, version="", targets=["emulator"], org_ids=list(orgs))[0]
    return Driver(worker, engine.call("register_device", worker_id=worker, name=name, target="emulator")[0])


def test_a_private_device_claims_for_its_organisations_only(engine: Engine) -> None:
    engine.submit({"test_path": "urgent.js", "priority": "urgent"}, org="stranger")
    device = private(engine, "acme", "friend")
    assert engine.claim(device) is None
    engine.submit("a.js", org="acme")
    engine.submit("f.js", org="friend")
    done = engine.run_all(device)
    assert {engine.job(job).org_id for job in done} == {"acme", "friend"}
    assert engine.run_all(engine.drive("shared")) == [1]


def test_neither_the_build_it_holds_nor_a_busy_device_leads_it_to_others(engine: Engine) -> None:
    """The same content is one build to a device, whose it is; and idle devices take jobs back from busy ones."""
    for org in ("acme", "stranger"):
        engine.call("add_artifact", org_id=org, app_version_id="v1", platform="android", sha256="1" * 64,
                    url="https://example.com/a.apk")  # fmt: skip
    engine.submit("a.js", org="acme")
    device = private(engine, "acme")
    engine.run_all(device)
    engine.submit(*(f"{number}.js" for number in range(6)), org="stranger")
    shared = engine.drive("shared")
    batch = engine.claim(shared)
    engine.start(batch.lease, batch.jobs[0]["job_id"])
    assert engine.claim(device) is None
    assert engine.claim(engine.drive("another")) is not None


def test_a_device_that_holds_a_build_does_not_yield_to_whom_it_does_not_serve(engine: Engine) -> None:
    engine.submit("a.js", org="acme")
    device = private(engine, "acme")
    engine.run_all(device)
    engine.connection.execute("update qgjob.device set installed_at = qgjob.now() - interval '1 day'")
    engine.submit({"test_path": "b.js", "priority": "urgent"}, org="stranger")
    engine.submit("c.js", org="acme")
    assert engine.claim(device).install is False


def test_why_tells_that_no_device_serves_the_organisation(engine: Engine) -> None:
    job = engine.submit("a.js", org="stranger").job_ids[0]
    private(engine, "acme")
    why = engine.call("get_why", job_id=job)
    assert why.devices_fitting == 0
    assert why.reason == "No live worker drives a device for target emulator and serves stranger."
    assert engine.call("get_health").unserved == ["emulator"]
    engine.drive("shared")
    assert engine.call("get_why", job_id=job).devices_fitting == 1
    own = engine.submit("a.js", org="acme").job_ids[0]
    assert engine.call("get_why", job_id=own).devices_fitting == 2


def test_a_private_claim_costs_the_same_however_many_others_wait(engine: Engine) -> None:
    for number in range(300):
        engine.submit("a.js", org=f"stranger-{number}")
    engine.submit("a.js", org="zebra")
    device = private(engine, "zebra")
    engine.connection.execute("analyze")
    _, read = rows_read(engine, lambda: engine.claim(device))
    assert all(read.get(table, 0) < 20 for table in ("lane", "job_group", "job", "org")), read
    _, read = rows_read(engine, lambda: engine.claim(private(engine, "nobody", name="idle")))
    assert read.get("lane", 0) < 10, read


def test_a_worker_serves_organisations_or_everybody_but_not_nobody(engine: Engine) -> None:
    for orgs in ([], ["a b"], [""]):
        with refused("some_org_is_served" if not orgs else "org_ids_is_a_name"):
            private(engine, *orgs)


def test_the_worker_is_told_by_its_flag_and_a_device_follows_its_worker(services: Services, engine: Engine) -> None:
    services.api()
    services.worker("lab", "--org", "acme", "--org", "friend")
    assert wait_until(lambda: len(services.get("/devices")) == 1, 30)
    assert services.get("/devices")[0]["org_ids"] == ["acme", "friend"]
    assert [worker["org_ids"] for worker in services.get("/workers")] == [["acme", "friend"]]
    engine.submit("b.js", org="stranger")
    run = engine.submit("a.js", org="acme").run_id
    assert wait_until(lambda: engine.run(run).status == "completed", 60)
    assert engine.value("select status from qgjob.job where org_id = 'stranger'") == "pending"
    services.stop("lab")
    services.worker("lab2", "--name", "lab")
    assert wait_until(lambda: services.get("/devices")[0]["org_ids"] is None, 30)


def test_a_shared_device_is_the_operators_and_says_so(engine: Engine) -> None:
    """An organisation sees it listed, so it is told why it may not touch it. What serves others only is not there."""
    shared = engine.drive("shared")
    worker = engine.call("register_worker", name="of others", version="", targets=["emulator"], org_ids=["globex"])[0]
    engine.call("register_device", worker_id=worker, name="foreign", target="emulator")
    engine.rows("select set_config('qgjob.org_id', 'acme', false)")
    with refused("shared_devices_are_the_operators"):
        engine.call("drain_worker", worker_id=shared.worker_id)
    with refused("shared_devices_are_the_operators"):
        engine.call("quarantine_device", device_id=shared.device_id, reason="mine now")
    with refused("worker_exists"):
        engine.call("drain_worker", worker_id=worker)
    with refused("device_exists"):
        engine.call("quarantine_device", device_id=shared.device_id + 1, reason="mine now")
