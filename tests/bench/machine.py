"""Where numbers were taken: whoever compares two runs must know."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psycopg

SETTINGS = ("server_version", "fsync", "synchronous_commit", "shared_buffers", "max_wal_size", "full_page_writes",
            "autovacuum_naptime", "wal_sync_method")  # fmt: skip
PACKAGES = ("psycopg", "pgmq", "asyncpg", "pgqueuer", "procrastinate", "litestar")


def describe(url: str) -> dict[str, Any]:
    with psycopg.connect(url) as connection:
        settings = {name: connection.execute(f"show {name}".encode()).fetchone() for name in SETTINGS}
    return {
        "date": time.strftime("%Y-%m-%d %H:%M %z"),
        "cores": os.cpu_count(),
        "processor": _first("/proc/cpuinfo", "model name") or platform.machine(),
        "memory": _first("/proc/meminfo", "MemTotal"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": ", ".join(f"{name} {row[0]}" for name, row in settings.items() if row),
        "packages": ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
    }


def load() -> float:
    """The 1-minute load average."""
    return os.getloadavg()[0]


def wait_for_calm(limit: float, longest_s: float) -> float:
    """Give the machine time to calm down; the load that it still has then."""
    end = time.monotonic() + longest_s
    while (now := load()) > limit and time.monotonic() < end:
        time.sleep(2)
    return now


def _first(file: str, field: str) -> str:
    path = Path(file)
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
