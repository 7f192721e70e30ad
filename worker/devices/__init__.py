"""What drives the phones: a backend installs a build on a device, and knows whether that worked."""

from typing import Protocol

from worker.executors import Batch


class InstallError(Exception):
    """The build is not on the device; the message is for people."""


class Backend(Protocol):
    """One instance serves every device of a worker, concurrently."""

    async def install(self, batch: Batch) -> None:
        """Put the batch's build on its device and verify that it is there. Raises InstallError."""
        ...
