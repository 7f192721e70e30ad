"""The tokens that `qgjob login` keeps, each for one server, in a file that nobody else may read."""

import os
import stat
import tempfile
from pathlib import Path

import msgspec
import typer

from qgjob.errors import Usage

VARIABLE = "QGJOB_TOKEN"


def file() -> Path:
    return Path(typer.get_app_dir("qgjob")) / "tokens.json"


def token_for(server_url: str) -> str | None:
    """QGJOB_TOKEN, or what was kept for this very server."""
    given = os.environ.get(VARIABLE, "").strip()
    if given and not (given.isascii() and given.isprintable()):
        raise Usage(f"{VARIABLE} holds characters that no token has")
    return given or read().get(server_url.rstrip("/"))


def read() -> dict[str, str]:
    path = file()
    try:
        with path.open("rb") as opened:
            if os.name == "posix" and stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o077:
                raise Usage(f"others may read {path}", hint=f"chmod 600 {path}; if they might have, log in anew")
            return msgspec.json.decode(opened.read(), type=dict[str, str])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise Usage(f"cannot read {path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Usage(f"{path} is damaged", hint="remove it and log in again") from None


def keep(server_url: str, token: str | None) -> Path:
    """None: forget it. The file is replaced as a whole, so that it is never half written nor readable for a moment."""
    path, kept = file(), read()
    kept.pop(server_url.rstrip("/"), None)
    if token is not None:
        kept[server_url.rstrip("/")] = token
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=".tokens-")  # 0600 from the beginning
        try:
            with os.fdopen(number, "wb") as opened:
                opened.write(msgspec.json.encode(kept))
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Usage(f"cannot write {path}: {error.strerror}", hint=f"set {VARIABLE} instead") from error
    return path
