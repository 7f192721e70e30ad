"""Which of the files that a test names are its own: specs are code of tenants, and could name any file of the machine.
How many are kept with an attempt, and how large, is the worker's affair: see worker/attachments.py."""

import mimetypes
from collections.abc import Sequence
from pathlib import Path

from worker.batch import File
from worker.executors.playwright_events import Attachment
from worker.printed import inert

_NAME = 100


def add(attachments: Sequence[Attachment], place: Path, files: list[File]) -> list[str]:
    """Add to `files` what lies in `place`, each under a name of its own; in words, what does not."""
    left_out: list[str] = []
    taken = {file.name for file in files}
    for attachment in attachments:
        name = inert(attachment.name, _NAME).replace("/", "_").strip() or "attachment"
        try:
            path = Path(attachment.path).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            continue  # Playwright has removed it: it keeps those of failures only, if told so
        if not path.is_relative_to(place.resolve()) or not path.is_file():
            left_out.append(f"left out: {name}: not a file of this test run")
            continue
        content_type = inert(attachment.content_type, _NAME) or "application/octet-stream"
        name = _unique(name, content_type, path, taken)
        taken.add(name)
        files.append(File(name, content_type, path))
    return left_out


def _unique(name: str, content_type: str, path: Path, taken: set[str]) -> str:
    """`screenshot` becomes `screenshot.png`, and the next one `screenshot-2.png`."""
    ending = inert(path.suffix, 16) or mimetypes.guess_extension(content_type) or ""
    stem = name.removesuffix(ending)
    number, found = 1, f"{stem}{ending}"
    while found in taken:
        number += 1
        found = f"{stem}-{number}{ending}"
    return found
