"""Where a build's file is on this machine, once its content is known to be what was registered."""

import asyncio
import hashlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from worker.batch import Artifact, PrepareError


async def fetch(artifact: Artifact) -> Path:
    """The file. Raises PrepareError."""
    url = urlsplit(artifact.url)
    if url.scheme not in ("", "file"):
        raise PrepareError(f"This worker cannot get builds from {url.scheme}: {artifact.url}", "config")
    path = Path(unquote(url.path) if url.scheme else artifact.url)
    try:
        found = await asyncio.to_thread(_sha256, path)
    except OSError as error:
        raise PrepareError(f"The build's file cannot be read: {error}", "config") from None
    if found != artifact.sha256:
        raise PrepareError(f"{path} is not the build that was registered: its SHA-256 is {found}.", "app")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
