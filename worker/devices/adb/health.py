"""Whether a device answers, and what makes one that does unfit for tests."""

import re
from typing import Annotated

from msgspec import Meta, Struct

from worker.devices.adb.client import Adb, AdbError

ECHO_S = 5.0
_QUESTIONS = (
    "getprop sys.boot_completed",
    "df -k /data | tail -n 1",
    "settings get global airplane_mode_on",
    "dumpsys battery",
)
_NEXT = "--next--"


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """`airplane_mode`: whether it is all right; labs that keep phones quiet on Wi-Fi have it on."""

    battery_percent: Annotated[int, Meta(ge=0, le=100)] = 15
    temperature_c: Annotated[float, Meta(gt=0)] = 45.0
    free_mb: Annotated[int, Meta(ge=0)] = 500
    airplane_mode: bool = False


async def silence(adb: Adb, serial: str) -> str | None:
    """Why the device does not answer, in words. Never raises."""
    try:
        echo = await adb.shell(serial, "echo", "ok", limit_s=ECHO_S)
    except AdbError as error:
        return str(error)
    return None if echo.text == "ok" else f"{serial} does not run commands: {echo.words[-200:]}"


async def complaint(adb: Adb, serial: str, limits: Limits) -> str | None:
    """Why a device that answers cannot work, in words. Never raises."""
    try:
        answer = await adb.script(serial, f"; echo {_NEXT}; ".join(_QUESTIONS), limit_s=ECHO_S)
    except AdbError as error:
        return str(error)
    booted, space, airplane, battery = (answer.text.split(_NEXT) + [""] * 3)[:4]
    if booted.strip() != "1":
        return f"{serial} has not finished booting."
    return _full(serial, space, limits) or _cut_off(serial, airplane, limits) or _exhausted(serial, battery, limits)


def _full(serial: str, space: str, limits: Limits) -> str | None:
    columns = space.split()
    if len(columns) < 4 or not columns[3].isdigit():
        return None  # the layout is not one that we know: no reason to refuse the device
    free = int(columns[3]) // 1024
    return f"{serial} has {free} MB free on /data, less than {limits.free_mb}." if free < limits.free_mb else None


def _cut_off(serial: str, airplane: str, limits: Limits) -> str | None:
    return f"{serial} is in airplane mode." if airplane.strip() == "1" and not limits.airplane_mode else None


def _exhausted(serial: str, battery: str, limits: Limits) -> str | None:
    values = dict(re.findall(r"^\s*(\w+): (\S+)\s*$", battery, re.MULTILINE))
    if values.get("present", "true") != "true":
        return None
    level, tenths = values.get("level", ""), values.get("temperature", "")
    if level.isdigit() and int(level) < limits.battery_percent:
        return f"The battery of {serial} is at {level} %, less than {limits.battery_percent} %."
    if tenths.isdigit() and int(tenths) / 10 > limits.temperature_c:
        return f"{serial} is {int(tenths) / 10:g} °C hot, more than {limits.temperature_c:g}."
    return None
