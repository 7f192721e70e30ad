"""Apps on a device: what is installed, by content; installing, with what stands in the way removed; their data."""

import asyncio
import logging
import re
import shlex
from pathlib import Path

from pyaxmlparser import APK  # type: ignore[import-untyped]

from worker.batch import PrepareError
from worker.devices.adb.client import Adb, AdbError, is_app_id
from worker.devices.adb.install_failures import named

log = logging.getLogger("worker")
HASH_S = 60.0  # some hundred MB/s on a phone, less on an emulator that boots next to it
_RUNTIME_PERMISSION = re.compile(r"^\s+([\w.]+): granted=(?:true|false), flags=", re.MULTILINE)


async def app_id_in(apk: Path) -> str:
    """The package name that an APK declares. Raises PrepareError."""
    try:
        # The library raises whatever the bytes of a stranger lead it to.
        found = await asyncio.to_thread(_declared, apk)
    except Exception as error:  # noqa: BLE001
        raise PrepareError(f"{apk.name} is not an APK that can be read: {error}", "app") from None
    if not is_app_id(found):
        raise PrepareError(f"{apk.name} is not an APK with a package name: {found!r}.", "app")
    return found


def _declared(apk: Path) -> str:
    return str(APK(str(apk)).package)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]


class Apps:
    """Every method raises PrepareError, blaming the device or the app."""

    def __init__(self, adb: Adb, install_limit_s: float) -> None:
        self._adb = adb
        self._install_limit_s = install_limit_s

    async def sha256(self, serial: str, app_id: str) -> str | None:
        """Of the APK that is installed; None where none is."""
        found = await self._adb.shell(serial, "pm", "path", app_id)
        paths = [line.removeprefix("package:") for line in found.text.splitlines() if line.startswith("package:")]
        if not paths:
            return None
        # Splits come after the base. Android keeps the file as it was sent.
        answer = await self._adb.shell(serial, "sha256sum", paths[0], limit_s=HASH_S)
        digest = answer.text.split(" ")[0]
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise AdbError(f"{serial} does not say which {app_id} it holds: {answer.words}")
        return digest

    async def install(self, serial: str, app_id: str, apk: Path, sha256: str) -> bool:
        """Have this very file on the device, without data of earlier times. Whether it had to be sent there."""
        held = await self.sha256(serial, app_id)
        if held == sha256:
            await self.clear(serial, app_id)
            return False
        await self._send(serial, app_id, apk, may_uninstall=True)
        if await self.sha256(serial, app_id) != sha256:
            raise PrepareError(f"{serial} says that it has installed {app_id}, but holds another content.")
        if held is not None:
            await self.clear(serial, app_id)
        return True

    async def uninstall(self, serial: str, app_id: str) -> None:
        answer = await self._adb.of(serial, "uninstall", app_id, limit_s=HASH_S)
        if "Success" not in answer.text and await self.sha256(serial, app_id) is not None:
            raise PrepareError(f"{serial} does not remove {app_id}: {answer.words}")

    async def clear(self, serial: str, app_id: str) -> None:
        """No data, and the permissions that installing has given: Android takes those away with the data."""
        cleared = await self._adb.script(
            serial, f"pm clear {shlex.quote(app_id)} && dumpsys package {shlex.quote(app_id)}", limit_s=30
        )
        if not cleared.text.startswith("Success"):
            raise PrepareError(f"{serial} cannot clear the data of {app_id}: {cleared.words or 'it is not installed'}")
        grants = [
            f"pm grant {shlex.quote(app_id)} {shlex.quote(permission)}"
            for permission in sorted(set(_RUNTIME_PERMISSION.findall(cleared.text)))
        ]
        if grants:  # one that is not for apps to have is refused, as it is while installing
            await self._adb.script(serial, "; ".join(grants), limit_s=30)

    async def stop(self, serial: str, app_id: str) -> None:
        await self._adb.shell(serial, "am", "force-stop", app_id)

    async def _send(self, serial: str, app_id: str, apk: Path, *, may_uninstall: bool) -> None:
        answer = await self._adb.of(serial, "install", "-r", "-t", "-g", "-d", str(apk), limit_s=self._install_limit_s)
        if answer.code == 0 and "Success" in answer.text:
            return
        name, reason = named(answer.words)
        if not name:  # perhaps it was not the device's package manager that failed, but the way there
            await self._adb.shell(serial, "true")
        if reason.uninstall and may_uninstall:
            log.info("%s: %s, so %s is removed first (%s)", serial, reason.meaning, app_id, name)
            await self.uninstall(serial, app_id)
            await self._send(serial, app_id, apk, may_uninstall=False)
            return
        said = answer.words.removeprefix("Performing Streamed Install").strip()[-500:]
        raise PrepareError(f"{serial} does not install {app_id}: {reason.meaning}. It said: {said}", reason.blame)
