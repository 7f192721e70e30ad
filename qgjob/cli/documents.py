"""Files that people write for qgjob, in TOML or JSON: what is wrong is told with its line and what may be there."""

import json
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
from msgspec.inspect import BoolType, DictType, IntType, ListType, LiteralType, NoneType, StrType, StructType, UnionType

from qgjob.errors import Usage

T = TypeVar("T")


class Fault(NamedTuple):
    what: str
    hint: str | None
    key: str
    value: str = ""


def text_of(file: str | Path) -> str:
    """Of a file; of stdin for -."""
    piped = str(file) == "-"
    try:
        return (sys.stdin.buffer.read() if piped else Path(file).read_bytes()).decode()
    except OSError as error:
        raise Usage(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Usage(f"cannot read {'stdin' if piped else file}: it is not UTF-8 text") from error


def parsed(file: Path) -> tuple[str, Any]:
    """The text of the file, and what it says."""
    text = text_of(file)
    of_json = file.suffix.lower() == ".json"
    try:
        return text, json.loads(text) if of_json else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, RecursionError) as error:
        as_toml = "it is read as TOML, for its name does not end in .json; YAML is not read"
        hint = "it is read as JSON, for its name says so" if of_json else as_toml
        raise Usage(f"cannot use {file}: {error}", hint=hint) from error


def fitting(file: Path, text: str, content: Any, kind: type[T]) -> T:
    """The content as it is meant."""
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        fault = next(faults(content, msgspec.inspect.type_info(kind), "", ""), None)
        if fault is None:
            raise Usage(f"cannot use {file}: {error}") from error
        raise Usage(f"cannot use {file}{line_of(text, fault)}: {fault.what}", hint=fault.hint) from error


def line_of(text: str, fault: Fault) -> str:
    """Where the key stands with this value, if that is at one place only."""
    key = re.escape(fault.key)
    there = re.compile(rf"""(^|[{{,\s"'.]){key}["']?\s*[=:]\s*["']?{re.escape(fault.value)}|^\s*\[+\s*{key}\s*\]""")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if fault.key and there.search(line)]
    return f", line {lines[0]}" if len(lines) == 1 else ""


def faults(value: Any, wanted: msgspec.inspect.Type, place: str, key: str) -> Iterator[Fault]:
    """What is not as it is wanted. `key`: the last one that led to it."""
    allowed = wanted.types if isinstance(wanted, UnionType) else (wanted,)
    table, items = cast("dict[str, Any]", value), cast("list[Any]", value)
    for kind in allowed:
        match kind, value:
            case StructType(), dict():
                yield from faults_of_table(table, kind, place)
                return
            case DictType(), dict():
                for name, inner in table.items():
                    yield from faults(inner, kind.value_type, f"{place}.{name}", name)
                return
            case ListType(), list():
                for index, inner in enumerate(items):
                    yield from faults(inner, kind.item_type, f"{place}[{index}]", key)
                return
            case (NoneType(), None) | (StrType(), str()) | (BoolType(), bool()):
                return
            case (IntType(), int()) if not isinstance(value, bool) and (kind.ge or 0) <= value <= (kind.le or 0):
                return
            case (LiteralType(), str()) if value in kind.values:
                return
            case _:
                pass
    choices = [str(choice) for kind in allowed if isinstance(kind, LiteralType) for choice in kind.values]
    meant = " or ".join(filter(None, map(words, allowed)))
    said = json.dumps(value, ensure_ascii=False, default=str)
    what = f"{place or 'the file'} is {meant}, not {said if len(said) <= 80 else said[:79] + '…'}"
    yield Fault(what, guess(value, choices), key, value if isinstance(value, str) else "")


def faults_of_table(table: dict[str, Any], wanted: StructType, place: str) -> Iterator[Fault]:
    known = {field.encode_name: field.type for field in wanted.fields}
    for key, value in table.items():
        if key in known:
            yield from faults(value, known[key], f"{place}.{key}".lstrip("."), key)
        else:
            hint = f"{guess(key, known) or ''} it may have {', '.join(known)}".strip()
            yield Fault(f"{place or 'the file'} has a key {key!r} that means nothing", hint, key)
    for field in wanted.fields:
        if field.required and field.encode_name not in table:
            yield Fault(f"{place or 'the file'} lacks {field.encode_name}", None, "")


def words(kind: msgspec.inspect.Type) -> str:
    match kind:
        case LiteralType():
            return f"one of {', '.join(map(str, kind.values))}"
        case StrType():
            return "a text"
        case IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case BoolType():
            return "true or false"
        case ListType():
            return "a list"
        case StructType() | DictType():
            return "a table of keys and values"
        case _:
            return ""


def guess(said: Any, known: Iterable[str]) -> str | None:
    near = get_close_matches(said, list(known), n=1) if isinstance(said, str) else []
    return f"did you mean {near[0]}?" if near else None
