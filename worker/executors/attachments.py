"""Which of the files that tests leave are kept with their job: what lies in the folder of the run, and not too much of
it, for specs are code of tenants."""

import mimetypes
from collections.abc import Sequence
from pathlib import Path

from worker.batch import File
from worker.executors.playwright_events import Attachment
from worker.executors.printed import inert

_FILES = 20  # per job
_BYTES = 32 * 1024 * 1024  # each
_NAME = 100


def keep(attachments: Sequence[Attachment], place: Path, kept: list[File]) -> list[str]:
    """Add to `kept` what lies in `place` and has room; in words, what is left out."""
    left_out: list[str] = []
    for attachment in attachments:
        name = inert(attachment.name, _NAME).replace("/", "_").strip() or "attachment"
        try:
            path = Path(attachment.path).resolve(strict=True)
            size = path.stat().st_size
        except (OSError, RuntimeError, ValueError):
            continue  # Playwright has removed it: it keeps those of failures only, if told so
        if not path.is_relative_to(place.resolve()) or not path.is_file():
            left_out.append(f"left out: {name}: not a file of this test run")
        elif size > _BYTES:
            left_out.append(f"left out: {name}: {size / 2**20:.0f} MiB, more than {_BYTES / 2**20:.0f}")
        elif len(kept) >= _FILES:
            left_out.append(f"left out: {name}: more than {_FILES} files")
        else:
            content_type = inert(attachment.content_type, _NAME) or "application/octet-stream"
            kept.append(File(_unique(name, content_type, path, {file.name for file in kept}), content_type, path))
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
