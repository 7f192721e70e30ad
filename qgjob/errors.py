"""What ends a program of qgjob before its answer, by name, and the exit code of each: a public contract."""

from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """1 wins over 3. Whatever was cancelled, empty or cut short is never 0."""

    OK = 0
    TEST_FAILED = 1
    USAGE = 2
    NO_VERDICT = 3
    REFUSED = 4
    UNAVAILABLE = 5
    BUG = 70
    TIMED_OUT = 124
    INTERRUPTED = 130
    TERMINATED = 143


class ClientError(Exception):
    """An end without an answer: one sentence, what to do next, and an exit code."""

    exit: ClassVar[Exit] = Exit.BUG

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retryable: bool = False,
        retry_after_s: float | None = None,
        run_id: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or type(self).__name__.lower()
        self.request_id = request_id
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.run_id = run_id

    @property
    def is_of_somebody_else(self) -> bool:
        """Not a word of qgjob: a proxy before the server, or something else at its address."""
        return self.code == "unexpected_answer" or self.code.startswith("http_")


class Usage(ClientError):
    """The command, or a setting, cannot mean anything: nothing was done."""

    exit = Exit.USAGE


class Refused(ClientError):
    """The server understood and said no (4xx)."""

    exit = Exit.REFUSED


class Unavailable(ClientError):
    """The server could not be reached, or failed (5xx), or what answered is not qgjob. Nothing was decided."""

    exit = Exit.UNAVAILABLE


class NotWritten(ClientError):
    """The tests passed, but a report that was asked for, or the answer, could not be written: not a verdict to rely
    on."""

    exit = Exit.NO_VERDICT


class TimedOut(ClientError):
    """The waiting limit was reached. The run goes on."""

    exit = Exit.TIMED_OUT


class Signalled(BaseException):
    """SIGINT or SIGTERM. Not an Exception, so that no library on the way swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.exit = 128 + number


class Left(ClientError):
    """A signal ended the waiting; what became of the run is in the message."""

    def __init__(self, message: str, *, signal: Signalled, run_id: int | None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, code="interrupted", run_id=run_id)
        self.signal = signal
