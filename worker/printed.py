"""What tests print, made fit to store and to show: bounded, and without the bytes that steer terminals or that
PostgreSQL's text refuses. Words such as `::error::` are kept: here they are data, whoever prints them escapes them."""

import re

MESSAGE = 4_000
_OUTPUT = 64 * 1024

_ESCAPE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)")
_LINE_END = re.compile(r"\r+\n?")
_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def inert(text: str, limit: int = MESSAGE) -> str:
    """The first `limit` characters of `text` without escape sequences, control characters and lone surrogates."""
    text = _LINE_END.sub("\n", _ESCAPE.sub("", text[: 2 * limit]))
    text = _LONE_SURROGATE.sub("\ufffd", _UNFIT.sub("", text))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def last_words(text: str, limit: int = 1_000) -> str:
    """The end of `text`, for a message that says why a process failed."""
    return inert(text[-limit:], limit).strip()


class Bounded:
    """A job's output: its start passes at once, then only its end is kept for `rest`, however much comes between."""

    def __init__(self, limit: int = _OUTPUT) -> None:
        self._limit = limit
        self._passed = 0
        self._seen = 0
        self._end = ""

    def take(self, text: str) -> str:
        """What to log of `text` now."""
        self._seen += len(text)
        now = text[: self._limit - self._passed]
        self._passed += len(now)
        self._end = (self._end + text[len(now) :])[-self._limit :]
        return inert(now, self._limit)

    def rest(self) -> str:
        """What to log when nothing more comes."""
        left_out = self._seen - self._passed - len(self._end)
        gap = f"\n… {left_out} characters left out …\n" if left_out else ""
        return gap + inert(self._end, self._limit)
