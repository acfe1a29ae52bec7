"""What is stored is read as it was, and what is something else is told by its place."""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pytest

from entrypoint.host.disks.stored import PASSING, UnreadableError, from_json, mark, read_mark, to_json


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Point(NamedTuple):
    across: int
    down: float = 0.5


@dataclass(frozen=True)
class Inner:
    content: bytes | None
    colour: Colour = Colour.RED


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner
    several: tuple[Inner, ...] = ()
    pair: tuple[int, str] = (0, "")
    place: PurePosixPath | None = None
    names: frozenset[str] = frozenset()
    counts: dict[Colour, int] = field(default_factory=dict)
    point: Point | None = None
    share: float = 0.0
    is_so: bool = False
    passing: int = field(default=0, metadata=PASSING)


FULL = Outer(
    "ä", Inner(b"\0\xff", Colour.BLUE), (Inner(None), Inner(b"")), (1, "one"), PurePosixPath("/a b"),
    frozenset({"b", "a"}), {Colour.RED: 2}, Point(3, 4.0), 1.5, is_so=True,
)  # fmt: skip
PLAIN = {"name": "a", "inner": {"content": None}}


@pytest.mark.parametrize("value", [FULL, Outer("", Inner(None))])
def test_a_value_comes_back_from_its_json(value: Outer) -> None:
    assert from_json(Outer, json.loads(json.dumps(to_json(value)))) == value
    assert read_mark(Outer, mark(value, "what it is", 3), 3) == value


def test_the_json_has_the_fields_in_their_order() -> None:
    assert json.dumps(to_json(FULL)) == (
        '{"name": "\\u00e4", "inner": {"content": "AP8=", "colour": "blue"}, "several": [{"content": null, "colour": '
        '"red"}, {"content": "", "colour": "red"}], "pair": [1, "one"], "place": "/a b", "names": ["a", "b"], '
        '"counts": {"red": 2}, "point": [3, 4.0], "share": 1.5, "is_so": true}'
    )


def test_what_is_missing_has_its_default() -> None:
    assert from_json(Outer, PLAIN) == Outer("a", Inner(None))
    assert from_json(Outer, PLAIN | {"point": [1], "share": 2}) == Outer("a", Inner(None), point=Point(1), share=2.0)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"name": 1}, "Outer.name: str was expected, not int"),
        ({"inner": {}}, "Outer.inner: content is missing"),
        ({"inner": {"content": "?"}}, "Outer.inner.content: bytes was expected, not str"),
        ({"inner": {"content": None, "colour": "green"}}, "Outer.inner.colour: Colour was expected, not str"),
        ({"several": [{"content": None}, []]}, r"Outer.several\[1\]: dict was expected, not list"),
        ({"several": "text"}, "Outer.several: list was expected, not str"),
        ({"pair": [1]}, "Outer.pair: tuple was expected, not list"),
        ({"point": []}, "Outer.point: Point was expected, not list"),
        ({"point": [True]}, r"Outer.point\[0\]: int was expected, not bool"),
        ({"counts": {"red": "2"}}, "Outer.counts.red: int was expected, not str"),
        ({"place": 1}, "Outer.place: str was expected, not int"),
        ({"share": "1"}, "Outer.share: float was expected, not str"),
        ({"passing": 1}, "Outer: passing is not known"),
        ({"other": 1}, "Outer: other is not known"),
    ],
)
def test_what_is_something_else_is_told_by_its_place(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(UnreadableError, match=told):
        from_json(Outer, PLAIN | changed)


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"[]", b"{}", mark(FULL, "", 2)])
def test_a_mark_of_another_version_or_none_is_no_mark(content: bytes | None) -> None:
    with pytest.raises(UnreadableError):
        read_mark(Outer, content, 3)
