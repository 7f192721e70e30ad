"""Android devices for tests, without Android: each speaks adbd's wire protocol, so the real adb drives it, and runs
what adb asks for in a real shell, whose `pm`, `dumpsys`, `logcat` … are in `system.py`. Tests switch faults on.

What is not Android's here: installing checks nothing of an APK, and one command takes some 50 ms to start.
"""

from fake_device.device import FakeDevice
from fake_device.lab import Lab

__all__ = ["FakeDevice", "Lab"]
