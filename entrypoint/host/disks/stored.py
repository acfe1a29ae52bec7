"""What is kept as JSON: one pair of functions for plans, records, marks and inventories.

in Python                   in JSON
a dataclass                 an object, a field a key, but for fields with `PASSING`
a NamedTuple, a tuple       a list
a frozenset                 a list, in order
bytes                       a text, in base64
an enum, a path             a text

It is read by the types of the fields. A field that is missing has its default; a key that no field has is an error.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import PurePath
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
PASSING = {"kept": False}  # the metadata of a field that is not kept


class UnreadableError(ValueError):
    """What is stored is not what was to be read; it says where, and what was expected there."""


def to_json(value: Any) -> Any:
    """What `json.dumps` takes, for a value of the types above."""
    kind: Any = type(value)
    if is_dataclass(kind):
        return {one.name: to_json(getattr(value, one.name)) for one in kept(kind)}
    match value:
        case bytes():
            return b64encode(value).decode()
        case Enum():
            return value.value
        case PurePath():
            return str(value)
        case Mapping():
            return {to_json(key): to_json(entry) for key, entry in value.items()}
        case frozenset():
            return sorted(map(to_json, value))
        case tuple() | list():
            return [to_json(entry) for entry in value]
        case _:
            return value


def from_json(kind: type[T], stored: Any) -> T:
    """What `to_json` has made of a value of that type. Raises UnreadableError."""
    read: T = _read(kind, stored, kind.__name__)
    return read


def mark(value: Any, note: str, version: int) -> bytes:
    """A value as the content of a file that says what it is for whoever finds it."""
    return json.dumps({"note": note, "version": version, **to_json(value)}).encode()


def read_mark(kind: type[T], content: bytes | None, version: int) -> T:
    """What `mark` has made, of the same version. Raises UnreadableError for anything else."""
    try:
        stored = json.loads(content or b"")
    except ValueError as error:
        raise UnreadableError(f"{kind.__name__}: {error}") from error
    if not isinstance(stored, dict) or stored.pop("version", None) != version:
        raise UnreadableError(f"{kind.__name__}: it has no version {version}")
    stored.pop("note", None)
    return from_json(kind, stored)


def kept(kind: Any) -> tuple[Field[Any], ...]:
    return tuple(one for one in fields(kind) if one.metadata.get("kept", True))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, stored: Any, where: str) -> Any:
    inner = get_args(kind)
    if NoneType in inner:
        return None if stored is None else _read(next(one for one in inner if one is not NoneType), stored, where)
    origin = get_origin(kind) or kind
    if is_dataclass(origin):
        return _object(kind, _checked(dict, stored, where), where)
    if issubclass(origin, Mapping):
        pairs = _checked(dict, stored, where).items()
        return {_read(inner[0], key, where): _read(inner[1], entry, f"{where}.{key}") for key, entry in pairs}
    if issubclass(origin, tuple | frozenset):
        return _series(kind, origin, _checked(list, stored, where), where)
    return _simple(origin, stored, where)


def _object(kind: type, stored: Mapping[str, Any], where: str) -> Any:
    known = {one.name: one for one in kept(kind)}
    if strange := stored.keys() - known.keys():
        raise UnreadableError(f"{where}: {', '.join(sorted(strange))} is not known")
    needed = (one.name for one in known.values() if one.default is MISSING and one.default_factory is MISSING)
    if lacking := [name for name in needed if name not in stored]:
        raise UnreadableError(f"{where}: {', '.join(lacking)} is missing")
    return kind(**{name: _read(_hints(kind)[name], entry, f"{where}.{name}") for name, entry in stored.items()})


def _series(kind: type, origin: type, stored: list[Any], where: str) -> Any:
    """A NamedTuple, whose last ones may be missing, or a tuple of so many, or of any number of one type."""
    if hasattr(kind, "_fields"):
        types = tuple(_hints(kind).values())
        least, most = len(types) - len(getattr(kind, "_field_defaults", ())), len(types)
        read = _each(types, stored, where) if least <= len(stored) <= most else None
        return kind(*read) if read is not None else _unfit(kind, stored, where)
    types = get_args(kind)
    if origin is frozenset or types[1:] == (...,):
        return origin(_each([types[0]] * len(stored), stored, where))
    return tuple(_each(types, stored, where)) if len(types) == len(stored) else _unfit(kind, stored, where)


def _each(types: Any, stored: list[Any], where: str) -> list[Any]:
    pairs = enumerate(zip(types, stored, strict=False))
    return [_read(kind, entry, f"{where}[{number}]") for number, (kind, entry) in pairs]


def _simple(kind: type, stored: Any, where: str) -> Any:
    if kind is float and type(stored) is int:
        return float(stored)
    if not issubclass(kind, bytes | Enum | PurePath):
        return _checked(kind, stored, where)
    text = _checked(str, stored, where)
    try:
        return b64decode(text, validate=True) if kind is bytes else kind(text)
    except ValueError:
        return _unfit(kind, stored, where)


def _checked(kind: type, stored: Any, where: str) -> Any:
    return stored if type(stored) is kind or kind is object else _unfit(kind, stored, where)


def _unfit(kind: Any, stored: Any, where: str) -> Any:
    raise UnreadableError(f"{where}: {getattr(kind, '__name__', kind)} was expected, not {type(stored).__name__}")
