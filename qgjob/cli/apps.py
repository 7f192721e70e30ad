"""Whether a file can be an app, by what is in every archive of its kind.

A wrong one would hold its version for good, for a build never changes.
"""

from fnmatch import fnmatchcase
from pathlib import Path

from qgjob.errors import Usage

INSIDE = {
    "apk": "AndroidManifest.xml",
    "aab": "base/manifest/AndroidManifest.xml",
    "ipa": "Payload/*.app/*",
    "zip": "*.app/*",
}
ZIP = b"PK"
HINT = "is it complete, and not a pointer of Git LFS or a page that asks to log in?"


def suffix_of(path: str) -> str:
    return Path(path).suffix.removeprefix(".").lower()


def check(file: Path) -> None:
    """Raises Usage, or OSError where it cannot be read. Its suffix is a known one."""
    import zipfile

    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise Usage(f"{file} is no app: it is no zip archive", hint=HINT) from error
    inside = INSIDE[suffix_of(file.name)]
    if not any(fnmatchcase(name, inside) for name in names):
        raise Usage(
            f"{file} is no app: there is no {inside.removesuffix('*')} in it",
            hint=f"every .{suffix_of(file.name)} has one; was another file meant?",
        )


def check_beginning(shown: str, path: str, beginning: bytes) -> None:
    """The same for what is read from a URL with this path, as far as its first bytes tell."""
    if suffix_of(path) in INSIDE and not beginning.startswith(ZIP):
        raise Usage(f"{shown} is no app: it is no zip archive", hint=HINT)
