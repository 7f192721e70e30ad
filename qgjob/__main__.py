"""`qgjob` and `python -m qgjob`: every end of the program, the bad ones too, becomes one exit code here."""

import io
import os
import signal
import sys
import traceback
from types import FrameType
from typing import NoReturn

from qgjob.errors import ClientError, Exit, Left, Signalled


def main() -> NoReturn:
    # Signals first, for the commands take a moment to load: the first Ctrl-C must find somebody.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and `&` in a script ask for
            signal.signal(number, raise_signalled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a Windows pipe or LC_ALL=C cannot encode every name
            stream.reconfigure(errors="backslashreplace")
    try:
        code = run(sys.argv[1:])
    except Signalled as signalled:  # while they load
        code = signalled.exit
    sys.exit(code)


def run(arguments: list[str]) -> int:
    import typer

    from qgjob.cli import app, output
    from qgjob.usage import usage

    as_json = "--json" in arguments
    try:
        code = app(arguments, prog_name="qgjob", standalone_mode=False)
        return int(code or 0)
    except Left as left:
        output.say_error(left, as_json=as_json)
        return left.signal.exit
    except ClientError as error:
        output.say_error(error, as_json=as_json)
        return error.exit
    except Signalled as signalled:
        return signalled.exit
    except typer.TyperException as error:
        output.say_error(usage(error, output.say), as_json=as_json)
        return Exit.USAGE
    except Exception as error:  # noqa: BLE001 - the last one: what arrives here is a bug, and must not look like a failed test
        if os.environ.get("QGJOB_DEBUG") == "1":
            traceback.print_exc()
        hint = "run it again with QGJOB_DEBUG=1 for the details to report"
        bug = ClientError(
            f"{output.one_line(str(error)) or type(error).__name__}; this is a bug in qgjob", hint=hint, code="bug"
        )
        output.say_error(bug, as_json=as_json)
        return Exit.BUG


def raise_signalled(number: int, _: FrameType | None) -> None:
    raise Signalled(number)


if __name__ == "__main__":
    main()
