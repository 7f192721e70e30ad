"""Devices are asked how they are before it comes to a loss, also one that was well before."""

import asyncio
from pathlib import Path

import pytest
from adb_lab import backend, build
from engine import Engine
from fake_device import Lab

import sql
from worker import attachments, loop
from worker.engine import SqlEngine
from worker.executors import Options, load
from worker.object_store import ObjectStore
from worker.results import Files


def test_a_device_whose_battery_runs_down_ends_its_batch_and_is_quarantined_until_it_is_charged(
    engine: Engine, database_url: str, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "PROBE_EVERY_S", 0.1)
    monkeypatch.setenv("QGJOB_STORE_URL", (tmp_path / "store").as_uri())
    device = lab.device()
    artifact = build(tmp_path)
    engine.call(
        "add_artifact", org_id="acme", app_version_id="v1", platform="android", url=artifact.url,
        sha256=artifact.sha256, app_id=artifact.app_id,
    )  # fmt: skip
    engine.submit("a.js")

    async def status(wanted: str) -> None:
        shown = "select status, quarantine_reason from reporting.devices"
        while not (rows := engine.rows(shown)) or rows[0].status != wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert rows[0].quarantine_reason == (
            f"The battery of {device.serial} is at 3 %, less than 15 %." if wanted == "quarantined" else None
        )

    async def work() -> None:
        async with asyncio.timeout(60), sql.open_pool(database_url, size=2) as db:
            devices = backend(lab)
            executor = load("simulated", Options(tmp_path, devices, settings={"duration_s": 0.5}))
            files = Files(ObjectStore(), attachments.limits())
            options = loop.Options("lab", "emulator", 30, 20, None)
            worker = loop.Worker(SqlEngine(db), executor, devices, options, files)
            running = asyncio.create_task(worker.run())
            await status("busy")
            device.set(battery={"present": "true", "level": "3"})
            await status("quarantined")
            assert engine.rows("select end_reason from qgjob.batch") == [("done",)]
            device.set(battery={"present": "true", "level": "87"})
            await status("idle")
            worker.drain()
            await running

    asyncio.run(work())
