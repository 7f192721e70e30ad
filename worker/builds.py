"""The file of a build: fetched once, and what is returned has the content that its hash promises."""

import asyncio
import hashlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from worker.batch import Artifact, PrepareError


async def fetch(artifact: Artifact) -> Path:
    """Where the file is. Raises PrepareError."""
    parts = urlsplit(artifact.url)
    if parts.scheme not in ("", "file"):
        raise PrepareError(f"This worker cannot fetch builds from {parts.scheme}://.", "config")
    path = Path(unquote(parts.path))
    try:
        sha256 = await asyncio.to_thread(_sha256, path)
    except OSError as error:
        raise PrepareError(f"The build cannot be read: {error.strerror}: {path}") from None
    if sha256 != artifact.sha256:
        raise PrepareError(f"{path} is not the build that was registered: its SHA-256 is {sha256}.", "app")
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
