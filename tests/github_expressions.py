"""GitHub's expressions, as far as the project's workflows use them: literals, contexts, operators, status functions.

Like GitHub's: `==` ignores the case of text, `&&` and `||` answer with an operand, and what is not there is null. What
is not understood is an error, never a guess.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][\w-]*)"
    r"|(?P<operator>&&|\|\||==|!=|<=|>=|[!<>().,\[\]*]))"
)
WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}


def fill(text: Any, contexts: Mapping[str, Any]) -> Any:
    """Every `${{ }}` of a value replaced; a value that is one expression keeps its type."""
    if not isinstance(text, str):
        return text
    whole = re.fullmatch(r"\s*\$\{\{(.*?)\}\}\s*", text, re.S)
    if whole and "${{" not in whole[1]:
        return evaluate(whole[1], contexts)
    return re.sub(r"\$\{\{(.*?)\}\}", lambda match: as_text(evaluate(match[1], contexts)), text, flags=re.S)


def condition(text: Any, contexts: Mapping[str, Any]) -> bool:
    """An `if:`. Without a status function of its own it also asks for success()."""
    said = "" if text is None else as_text(text).strip()
    said = said.removeprefix("${{").removesuffix("}}").strip() if said.startswith("${{") else said
    if not re.search(r"\b(success|failure|cancelled|always)\s*\(", said):
        said = f"success() && ({said})" if said else "success()"
    return bool(evaluate(said, contexts))


def as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else "Object"


def evaluate(text: str, contexts: Mapping[str, Any]) -> Any:
    return Parser(text, contexts).whole()


class Parser:
    """One expression; evaluated while it is read."""

    def __init__(self, text: str, contexts: Mapping[str, Any]) -> None:
        self._contexts = contexts
        self._tokens: list[tuple[str, str]] = []
        place = 0
        text = text.strip()
        while place < len(text):
            match = TOKEN.match(text, place)
            if match is None:
                raise ValueError(f"not understood: {text[place:]!r}")
            self._tokens.append((match.lastgroup or "", match[match.lastgroup or 0]))
            place = match.end()

    def whole(self) -> Any:
        value = self._either()
        if self._tokens:
            raise ValueError(f"not understood: {self._tokens}")
        return value

    def _next_is(self, *operators: str) -> str | None:
        if self._tokens and self._tokens[0][0] == "operator" and self._tokens[0][1] in operators:
            return self._tokens.pop(0)[1]
        return None

    def _need(self, operator: str) -> None:
        if self._next_is(operator) is None:
            raise ValueError(f"{operator} expected before {self._tokens}")

    def _either(self) -> Any:
        value = self._both()
        while self._next_is("||"):
            other = self._both()
            value = value or other
        return value

    def _both(self) -> Any:
        value = self._comparison()
        while self._next_is("&&"):
            other = self._comparison()
            value = value and other
        return value

    def _comparison(self) -> Any:
        value = self._operand()
        while operator := self._next_is("==", "!=", "<=", ">=", "<", ">"):
            left, right = alike(value, self._operand())
            value = {
                "==": lambda left, right: left == right,
                "!=": lambda left, right: left != right,
                "<": lambda left, right: left < right,
                ">": lambda left, right: left > right,
                "<=": lambda left, right: left <= right,
                ">=": lambda left, right: left >= right,
            }[operator](left, right)
        return value

    def _operand(self) -> Any:
        if self._next_is("!"):
            return not self._operand()
        if self._next_is("("):
            value = self._either()
            self._need(")")
            return value
        kind, token = self._tokens.pop(0)
        if kind == "text":
            return token[1:-1].replace("''", "'")
        if kind == "number":
            return float(token) if "." in token else int(token)
        if kind != "name":
            raise ValueError(f"not understood: {token}")
        if token in WORDS:
            return WORDS[token]
        if self._next_is("("):
            return self._call(token)
        if token not in self._contexts:
            raise ValueError(f"there is no context {token} here")
        return self._member(self._contexts[token])

    def _member(self, value: Any) -> Any:
        while True:
            if self._next_is("."):
                _, name = self._tokens.pop(0)
            elif self._next_is("["):
                name = self._either()
                self._need("]")
            else:
                return value
            value = value.get(name) if isinstance(value, Mapping) else None

    def _call(self, name: str) -> Any:
        given: list[Any] = []
        while not self._next_is(")"):
            given.append(self._either())
            self._next_is(",")
        status = self._contexts.get("status", "success")
        functions = {
            "success": lambda: status == "success",
            "failure": lambda: status == "failure",
            "cancelled": lambda: status == "cancelled",
            "always": lambda: True,
            "contains": lambda of, what: what in of if isinstance(of, Sequence) else False,
            "startsWith": lambda of, what: as_text(of).lower().startswith(as_text(what).lower()),
            "fromJSON": json.loads,
            "toJSON": lambda of: json.dumps(of, indent=2),
        }
        if name not in functions:
            raise ValueError(f"{name}() is not understood")
        return functions[name](*given)  # type: ignore[operator]


def alike(left: Any, right: Any) -> tuple[Any, Any]:
    if isinstance(left, str) and isinstance(right, str):
        return left.lower(), right.lower()
    if type(left) is type(right):
        return left, right
    return number(left), number(right)


def number(value: Any) -> float:
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return float("nan")
