"""The object store that the API and the workers share: files of attempts, and builds. A folder, S3, Google or Azure.

It is here because it is the layer below both. The client never imports it, nor the library behind it.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError as BaseStoreError
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store, from_url

from qgjob.errors import Usage

if TYPE_CHECKING:
    from obstore.store import RetryConfig

__all__ = [
    "BaseStoreError",
    "Store",
    "StoreError",
    "attempt_key",
    "build_key",
    "first_line",
    "is_attempt_key",
    "open_store",
]

VARIABLE = "QGJOB_STORE_URL"
Store = AzureStore | GCSStore | LocalStore | S3Store

# What its calls raise. Builtin errors such as FileNotFoundError stand for some answers of the store.
StoreError = (BaseStoreError, OSError)

# How often to ask again, and how long, before a store counts as gone: somebody waits for the answer.
RETRIES: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}


def default_url(environment: Mapping[str, str]) -> str:
    """A folder of whoever runs the services: enough where all of them run on one machine, as one user."""
    data = environment.get("XDG_DATA_HOME") or "~/.local/share"
    return (Path(data).expanduser().absolute() / "qgjob" / "store").as_uri()


def open_store(environment: Mapping[str, str] = os.environ) -> Store:
    """The store that QGJOB_STORE_URL names; clouds have their own variables for credentials. Raises Usage."""
    url = environment.get(VARIABLE) or default_url(environment)
    try:
        match url.partition("://")[0]:
            case "file":
                store = from_url(url, mkdir=True)
            case "s3" | "s3a" | "gs" | "az" | "abfs" | "abfss" | "https":
                store = from_url(url, retry_config=RETRIES)
            case _:
                raise Usage(f"{VARIABLE} is not file:///folder, s3://bucket, gs://bucket or az://container")
    except (*StoreError, ValueError) as error:
        raise Usage(f"{VARIABLE} cannot be used: {first_line(error)}") from None
    if not isinstance(store, Store):
        raise Usage(f"{VARIABLE} is not file:///folder, s3://bucket, gs://bucket or az://container")
    return store


def first_line(error: Exception) -> str:
    """The library appends pages of its own state to its messages."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def build_key(org_id: str, sha256: str, suffix: str) -> str:
    """Under the organisation, so that nobody learns from an upload what others have."""
    return f"builds/{org_id}/{sha256}.{suffix}"


def attempt_key(org_id: str, job_id: int, attempt: int, number: int, name: str) -> str:
    """The name is for people who look into the store; the number is what makes the key."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[-80:]
    return f"attempts/{org_id}/{job_id}/{attempt}/{number}-{readable}"


def is_attempt_key(key: str, org_id: str, job_id: int) -> bool:
    """Whether attempt_key may have made it for this job: nobody shall name what is somebody else's."""
    return re.fullmatch(rf"attempts/{re.escape(org_id)}/{job_id}/\d+/\d+-[A-Za-z0-9._-]{{0,80}}", key) is not None
