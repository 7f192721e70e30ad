"""Sessions on Android devices: on an Appium server of the device's own, kept while the device serves the same build.
Appium is a stand-in here that writes down what it is asked; the real one is in test_appwright_attaches.py."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from adb_lab import APP, backend, build, on, using
from appium_home import program
from batches import gone
from fake_device import FakeDevice, Lab
from msgspec.structs import replace

from worker.batch import PrepareError
from worker.devices.adb import AdbDevices

# It answers as the file `answers` tells by the number of the session: whether it still is one.
APPIUM = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
here = Path(__file__).parent
class Handler(BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        said = json.loads(body) if body else None
        if self.path != "/status":
            with (here / "asked").open("a") as asked:
                print(json.dumps([os.getpid(), self.command, self.path, said]), file=asked)
        code, value = 200, {"ready": True}
        if self.command == "POST" and self.path == "/session":
            if (here / "refuse").exists():
                code, value = 500, {"error": "session not created", "message": "Neither ANDROID_HOME nor another"}
            else:
                number = len((here / "asked").read_text().splitlines())
                (here / "cwd").write_text(os.getcwd())
                value = {"sessionId": f"s{os.getpid()}-{number}", "capabilities": {}}
        elif (here / "ended").exists() and self.command == "GET" and self.path != "/status":
            code, value = 404, {"error": "invalid session id", "message": "gone"}
        data = json.dumps({"value": value}).encode()
        self.send_response(code)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    do_GET = do_POST = do_DELETE = answer
    def log_message(self, *_): pass
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
"""


class Appium:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "appium.py").write_text(APPIUM)
        self.program = folder / "appium"
        program(self.program, f'exec {sys.executable} {folder / "appium.py"} "$@"')

    def set(self, name: str, *, there: bool = True) -> None:
        """`ended`: sessions no longer exist. `refuse`: no session is opened."""
        (self._folder / name).touch() if there else (self._folder / name).unlink()

    def asked(self, method: str) -> list[Any]:
        try:
            lines = (self._folder / "asked").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(pid, body) for pid, verb, _, body in map(json.loads, lines) if verb == method]

    def where(self) -> Path:
        """It runs in this folder."""
        return Path((self._folder / "cwd").read_text())


@pytest.fixture
def appium(tmp_path: Path) -> Appium:
    return Appium(tmp_path)


@pytest.fixture
def device(lab: Lab) -> FakeDevice:
    return lab.device()


@pytest.fixture
def devices(lab: Lab, appium: Appium) -> AdbDevices:
    return backend(lab, appium=str(appium.program))


def test_a_session_is_kept_while_its_device_serves_the_same_build(
    devices: AdbDevices, device: FakeDevice, appium: Appium, tmp_path: Path
) -> None:
    of = replace(on(device, build(tmp_path)), build="one")

    async def work() -> None:
        await devices.install(of)
        first = await devices.open_session(of)
        await devices.close_session(first, failed=False)
        assert await devices.open_session(replace(of, lease=8)) == first
        assert appium.asked("DELETE") == []
        # Another build, another organisation, and a batch that failed, have another.
        await devices.close_session(first, failed=False)
        second = await devices.open_session(replace(of, org_id="beta"))
        assert (second.session_id != first.session_id, len(appium.asked("DELETE"))) == (True, 1)
        await devices.close_session(second, failed=True)
        assert len(appium.asked("DELETE")) == 2
        third = await devices.open_session(of)
        await devices.close_session(third, failed=False)
        await devices.install(replace(of, build="two"))
        assert len(appium.asked("DELETE")) == 3
        await devices.open_session(replace(of, build="two"))
        await devices.close()

    using(devices, work)
    assert (len(appium.asked("POST")), len(appium.asked("DELETE"))) == (4, 4)
    wanted = appium.asked("POST")[0][1]["capabilities"]["alwaysMatch"]
    assert (wanted["appium:udid"], wanted["appium:appPackage"]) == (device.serial, APP)
    assert "appium:app" not in wanted, "Appium would install it again"
    assert all(gone(pid) for pid, _ in appium.asked("POST"))


def test_a_session_that_has_ended_meanwhile_is_opened_again(
    devices: AdbDevices, device: FakeDevice, appium: Appium, tmp_path: Path
) -> None:
    of = on(device, build(tmp_path))

    async def work() -> tuple[str, str]:
        first = await devices.open_session(of)
        await devices.close_session(first, failed=False)
        appium.set("ended")
        second = await devices.open_session(of)
        await devices.close()
        return first.session_id, second.session_id

    first, second = using(devices, work)
    assert first != second


def test_each_device_has_a_server_of_its_own(lab: Lab, devices: AdbDevices, appium: Appium, tmp_path: Path) -> None:
    pair = [lab.device(), lab.device()]
    artifact = build(tmp_path)

    async def work() -> set[str]:
        sessions = [await devices.open_session(on(device, artifact)) for device in pair]
        await devices.close()
        return {session.url for session in sessions}

    assert len(using(devices, work, expecting=2)) == 2
    assert len({pid for pid, _ in appium.asked("POST")}) == 2
    ports = {body["capabilities"]["alwaysMatch"]["appium:systemPort"] for _, body in appium.asked("POST")}
    assert len(ports) == 2


def test_appium_runs_in_the_project_where_its_drivers_may_be(
    lab: Lab, device: FakeDevice, appium: Appium, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    devices = backend(lab, project=project, appium=str(appium.program))

    async def work() -> None:
        await devices.open_session(on(device, build(tmp_path)))
        await devices.close()

    using(devices, work)
    assert appium.where() == project


def test_what_appium_lacks_is_the_worker_s_and_not_the_device_s(
    devices: AdbDevices, device: FakeDevice, appium: Appium, tmp_path: Path
) -> None:
    appium.set("refuse")

    async def work() -> None:
        try:
            await devices.open_session(on(device, build(tmp_path)))
        finally:
            await devices.close()

    with pytest.raises(PrepareError, match="Set ANDROID_HOME to the folder of the Android SDK") as refused:
        using(devices, work)
    assert refused.value.blame == "config"


def test_an_app_that_could_not_be_reset_is_looked_for_by_the_next_batch(
    lab: Lab, devices: AdbDevices, device: FakeDevice, appium: Appium, tmp_path: Path
) -> None:
    of = on(device, build(tmp_path))

    async def work() -> None:
        await devices.install(of)
        await devices.open_session(of)
        lab.run("-s", device.serial, "uninstall", APP)
        with pytest.raises(PrepareError, match="cannot clear the data"):
            await devices.reset(of)
        await devices.open_session(of)
        await devices.reset(of)
        await devices.open_session(of)
        await devices.close()

    using(devices, work)
    assert device.count("install") == 2
