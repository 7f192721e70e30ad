"""Backend `browserstack`: parallels of an App Automate account. A batch is one session; the cloud installs the build
when the session opens, and wipes the device when it ends."""

from worker.devices.browserstack.parallels import BrowserStackParallels

__all__ = ["BrowserStackParallels"]
