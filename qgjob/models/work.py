"""What workers are told."""

from typing import Literal

from msgspec import Struct


class Registered(Struct):
    """The answer to POST /workers."""

    worker_id: int


class DeviceRegistered(Struct):
    """The answer to POST /workers/{id}/devices."""

    device_id: int


class DeviceHealth(Struct):
    """Whether the device is given work."""

    well: bool


class Upload(Struct):
    """Where a provider keeps a content; without a URL, whether the caller is the one to upload it."""

    url: str | None
    yours: bool


class OpenSessions(Struct):
    """The leases whose sessions on an account of a device cloud are open for certain."""

    leases: list[int]


class Admission(Struct):
    """Whether a batch may open a session on an account of a device cloud."""

    admitted: bool


class Heartbeat(Struct):
    """Which leases are held, which of them have no job left and which to drain, which running jobs to stop, which
    devices to probe because their health has quarantined them, and whether to drain everything."""

    draining: bool
    leases: list[int]
    empty_leases: list[int]
    drain_leases: list[int]
    stop_jobs: list[int]
    sick_devices: list[int]


class Beat(Heartbeat):
    """The answer to POST /workers/{id}/heartbeat: also, whose output somebody watches. `seen` stands for all of it but
    the leases that are held."""

    watched_jobs: list[int] = []
    seen: str = ""


class Trace(Struct):
    """The trace context that a job of a batch was submitted with."""

    job_id: int
    run_id: int
    traceparent: str


class Decision(Struct):
    """Whether to run the job that a worker is about to start; `skip`: it was cancelled or given to another device."""

    decision: Literal["run", "skip"]


class Recorded(Struct):
    """A job's status after a result. `recorded` is false where this was known already."""

    status: str
    recorded: bool
