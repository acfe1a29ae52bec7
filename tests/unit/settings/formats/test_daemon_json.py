"""The edit of daemon.json changes one value or adds one line, and nothing else, to the byte."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from entrypoint.console.errors import PreflightError
from entrypoint.settings.formats.daemon_json import parse, with_old_root, with_root
from entrypoint.settings.setting import Setting

PLACE, SETTING = "/etc/docker/daemon.json", Setting()
BOM = b"\xef\xbb\xbf"
FRESH = b'{\n    "data-root": "/new"\n}\n'

EDITS: dict[str, tuple[bytes | None, bytes]] = {
    "missing": (None, FRESH),
    "empty": (b"", FRESH),
    "only white space": (b" \n\t\n", FRESH),
    "empty object": (b"{}", b'{\n    "data-root": "/new"\n}'),
    "empty object over lines": (b"{\n\n}\n", b'{\n    "data-root": "/new"\n}\n'),
    "byte order mark": (BOM + b'{"debug": true}\n', BOM + b'{"debug": true, "data-root": "/new"}\n'),
    "byte order mark and a root": (BOM + b'{"data-root": "/old"}', BOM + b'{"data-root": "/new"}'),
    "one line": (b'{"debug": true}', b'{"debug": true, "data-root": "/new"}'),
    "one line with spaces": (b'{ "debug": true }', b'{ "debug": true, "data-root": "/new" }'),
    "spaces": (b'{\n  "debug": true\n}\n', b'{\n  "debug": true,\n  "data-root": "/new"\n}\n'),
    "tabs": (b'{\n\t"debug": true\n}\n', b'{\n\t"debug": true,\n\t"data-root": "/new"\n}\n'),
    "CRLF": (b'{\r\n  "debug": true\r\n}\r\n', b'{\r\n  "debug": true,\r\n  "data-root": "/new"\r\n}\r\n'),
    "no newline at the end": (b'{\n  "debug": true\n}', b'{\n  "debug": true,\n  "data-root": "/new"\n}'),
    "odd formatting": (
        b'\n { "a" :1\n,"data-root"  :\t"/old"   ,\n\n\n "b":[ 1,2 ] } \n\n',
        b'\n { "a" :1\n,"data-root"  :\t"/new"   ,\n\n\n "b":[ 1,2 ] } \n\n',
    ),
    "key first": (b'{"data-root": "/old", "a": 1, "b": 2}', b'{"data-root": "/new", "a": 1, "b": 2}'),
    "key in the middle": (b'{"a": 1, "data-root": "/old", "b": 2}', b'{"a": 1, "data-root": "/new", "b": 2}'),
    "key last": (b'{"a": 1, "b": 2, "data-root": "/old"}', b'{"a": 1, "b": 2, "data-root": "/new"}'),
    "old key": (b'{\n  "graph": "/old",\n  "a": 1\n}\n', b'{\n  "data-root": "/new",\n  "a": 1\n}\n'),
    "nested keys": (
        b'{"x": {"data-root": "/a", "graph": "/b"}, "y": [{"data-root": "/c"}]}',
        b'{"x": {"data-root": "/a", "graph": "/b"}, "y": [{"data-root": "/c"}], "data-root": "/new"}',
    ),
    "nested keys before the key": (
        b'{"x": {"data-root": "/a"}, "data-root": "/old"}',
        b'{"x": {"data-root": "/a"}, "data-root": "/new"}',
    ),
    "the key's name as a value": (b'{"a": "data-root"}', b'{"a": "data-root", "data-root": "/new"}'),
    "escapes in the key": (b'{"data\\u002droot": "/old", "a": 1}', b'{"data-root": "/new", "a": 1}'),
    "escapes elsewhere": (
        b'{"a\\u00e4\\n": "\\ud83d\\ude00\\/ \xc3\xa4", "data-root": "/old"}',
        b'{"a\\u00e4\\n": "\\ud83d\\ude00\\/ \xc3\xa4", "data-root": "/new"}',
    ),
    "braces and quotes in strings": (
        b'{"a": "} , \\"data-root\\": {", "b": "\\\\"}',
        b'{"a": "} , \\"data-root\\": {", "b": "\\\\", "data-root": "/new"}',
    ),
    "a root that is no string": (b'{"data-root": {"a": [1, "}"]}, "b": 2}', b'{"data-root": "/new", "b": 2}'),
    "already the target": (b'{"data-root": "/new"}\n', b'{"data-root": "/new"}\n'),
    "numbers as written": (b'{"a": 1.50e+3, "b": -0}', b'{"a": 1.50e+3, "b": -0, "data-root": "/new"}'),
}


@pytest.mark.parametrize(("before", "after"), EDITS.values(), ids=EDITS.keys())
def test_the_edit_is_minimal(before: bytes | None, after: bytes) -> None:
    assert with_root(before, "/new", SETTING, PLACE) == after


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/new path", b'"/new path"'),
        ('/a"b\\c', b'"/a\\"b\\\\c"'),
        ("/größe", b'"/gr\xc3\xb6\xc3\x9fe"'),
        ("/100%", b'"/100%"'),
    ],
)
def test_any_path_becomes_a_json_string(path: str, value: bytes) -> None:
    assert with_root(b'{"data-root": "/old"}', path, SETTING, PLACE) == b'{"data-root": ' + value + b"}"


# Content, the model whose setting it is to have, and what comes of it.
RESTORED: dict[str, tuple[bytes, bytes | None, bytes]] = {
    "first": (b'{ "data-root": "/new", "a": 1, "b": 2 }', b"{}", b'{ "a": 1, "b": 2 }'),
    "in the middle": (b'{"a": 1, "data-root": "/new", "b": 2}', b"{}", b'{"a": 1, "b": 2}'),
    "last": (b'{"a": 1, "b": 2, "data-root": "/new"}\n', b"{}", b'{"a": 1, "b": 2}\n'),
    "only": (b'{"data-root": "/new"}\n', b"{}", b"{}\n"),
    "only, with spaces": (b'{\n\t"data-root": "/new"\n}\n', b"{}", b"{\n\t\n}\n"),
    "old key": (b'{"graph": "/new", "a": 1}', b"{}", b'{"a": 1}'),
    "not there": (b'{ "a" :1 }', b"{}", b'{ "a" :1 }'),
    "nested keys": (b'{"x": {"data-root": "/a"}, "data-root": "/new"}', b"{}", b'{"x": {"data-root": "/a"}}'),
    "spaces": (b'{\n  "a": 1,\n  "data-root": "/new",\n  "b": 2\n}\n', b"{}", b'{\n  "a": 1,\n  "b": 2\n}\n'),
    "odd formatting": (
        b'\n { "a" :1\n,"data-root"  :\t"/new"   ,\n\n\n "b":[ 1,2 ] } \n\n',
        b"{}",
        b'\n { "a" :1   ,\n\n\n "b":[ 1,2 ] } \n\n',
    ),
    "CRLF": (b'{\r\n  "data-root": "/new",\r\n  "a": 1\r\n}\r\n', b"{}", b'{\r\n  "a": 1\r\n}\r\n'),
    "byte order mark": (BOM + b'{"a": 1, "data-root": "/new"}', b"{}", BOM + b'{"a": 1}'),
    "a model that is missing": (b'{"a": 1, "data-root": "/new"}', None, b'{"a": 1}'),
    "a model that is empty": (b'{"a": 1, "data-root": "/new"}', b" \n", b'{"a": 1}'),
    "another value": (
        b'{ "data-root" :\t"/new",\r\n"a": 1.50e+3 }',
        BOM + b'{"b": 3, "data-root": "/\xc3\xa4\\""}',
        b'{ "data-root" :\t"/\xc3\xa4\\"",\r\n"a": 1.50e+3 }',
    ),
    "another value under the old key": (b'{"data-root": "/new"}', b'{"graph": "/old"}', b'{"data-root": "/old"}'),
    "a value where there is none": (b'{"a": 1}', b'{"data-root": "/old"}', b'{"a": 1, "data-root": "/old"}'),
}


@pytest.mark.parametrize(("content", "model", "restored"), RESTORED.values(), ids=RESTORED.keys())
def test_the_setting_alone_is_taken_from_the_model(content: bytes, model: bytes | None, restored: bytes) -> None:
    assert with_old_root(content, model, SETTING, PLACE) == restored


@pytest.mark.parametrize("content", [b'{"data-root": "/a", "graph": "/b"}', b'{"data-root": "/a", "data-root": "/b"}'])
def test_a_root_that_is_set_twice_is_not_taken_away(content: bytes) -> None:
    with pytest.raises(PreflightError, match="cannot be edited safely"):
        with_old_root(content, None, SETTING, PLACE)


REFUSED: dict[str, bytes] = {
    "cut off": b'{"a": 1',
    "trailing comma": b'{"a": 1,}',
    "comment": b'{"a": 1} // note',
    "two objects": b"{} {}",
    "array": b'["data-root"]',
    "string": b'"data-root"',
    "null": b"null",
    "Latin-1": b'{"a": "\xe4"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED.keys())
def test_what_the_engine_would_refuse_is_refused(content: bytes) -> None:
    with pytest.raises(PreflightError) as refused:
        parse(content, PLACE)
    assert PLACE in refused.value.brief


@pytest.mark.parametrize(
    "content",
    [b'{"data-root": "/a", "graph": "/b"}', b'{"graph": "/a", "data-root": "/b"}', b'{"graph": "/a", "graph": "/b"}'],
)
def test_a_root_that_is_set_twice_is_refused(content: bytes) -> None:
    with pytest.raises(PreflightError, match="cannot be edited safely"):
        with_root(content, "/new", SETTING, PLACE)


def test_invalid_json_is_located() -> None:
    with pytest.raises(PreflightError) as refused:
        parse(b'{\n  "a": nonsense\n}\n', PLACE)
    assert refused.value.details == "Expecting value in line 2, column 8."


@pytest.mark.parametrize("content", [None, b"", b"  \n", BOM])
def test_nothing_sets_nothing(content: bytes | None) -> None:
    assert parse(content, PLACE) == {}


KEYS = ("debug", "data-root ", "Data-Root", "graphs", "ä", 'a"b', "x\\", "", "storage-driver", "labels", "{", "\u2028")


def value(chance: random.Random, depth: int = 0) -> Any:
    kinds = ["string", "number", "flag", "null", *(["list", "object"] if depth < 3 else [])]
    match chance.choice(kinds):
        case "string":
            return "".join(chance.choice('a"\\{}[],:/ \n\u00e9\U0001f600') for _ in range(chance.randrange(6)))
        case "number":
            return chance.choice([0, -1, 2**40, 1.5, 1e-9])
        case "flag":
            return chance.choice([True, False])
        case "list":
            return [value(chance, depth + 1) for _ in range(chance.randrange(3))]
        case "object":
            keys = chance.sample((*KEYS, "data-root", "graph"), chance.randrange(4))
            return {key: value(chance, depth + 1) for key in keys}
        case _:
            return None


def written(chance: random.Random, data: Any) -> str:
    """JSON text with white space wherever JSON allows it."""

    def gap() -> str:
        return "".join(chance.choice(" \t\r\n") for _ in range(chance.choice([0, 0, 1, 3])))

    if isinstance(data, dict):
        members = (f"{gap()}{json.dumps(key)}{gap()}:{gap()}{written(chance, one)}{gap()}" for key, one in data.items())
        return f"{{{','.join(members) or gap()}}}"
    if isinstance(data, list):
        return f"[{','.join(f'{gap()}{written(chance, one)}{gap()}' for one in data) or gap()}]"
    return json.dumps(data, ensure_ascii=chance.random() < 0.5)


def objects(number: int) -> Iterator[tuple[dict[str, Any], bytes]]:
    chance = random.Random(20240101)
    for _ in range(number):
        keys = chance.sample(KEYS, chance.randrange(6))
        keys += chance.choice([[], ["data-root"], ["graph"]])
        chance.shuffle(keys)
        data = {key: value(chance) for key in keys}
        mark = chance.choice([b"", b"", BOM])
        yield data, mark + chance.choice(["", "\n"]).encode() + written(chance, data).encode() + b"\n"


def test_the_edit_of_any_object_means_the_object_with_the_root_set() -> None:
    for data, content in objects(2000):
        expected = {key: one for key, one in data.items() if key != "graph"} | {"data-root": "/new"}
        assert expected == parse(with_root(content, "/new", SETTING, PLACE), PLACE), content


def test_the_edit_is_done_once() -> None:
    for _data, content in objects(500):
        once = with_root(content, "/new", SETTING, PLACE)
        assert once == with_root(once, "/new", SETTING, PLACE)


def test_what_was_set_by_the_edit_is_taken_away_to_the_byte() -> None:
    for data, content in objects(1000):
        if data and not {"data-root", "graph"} & data.keys():
            assert with_old_root(with_root(content, "/new", SETTING, PLACE), content, SETTING, PLACE) == content


def test_the_setting_of_any_model_is_taken_and_nothing_else() -> None:
    models = [None, b"{}", b'{"data-root": "/old", "x": 1}']
    for (data, content), model in zip(objects(1500), models * 500, strict=True):
        others = {key: one for key, one in data.items() if key not in ("data-root", "graph")}
        kept = {"data-root": "/old"} if model == models[2] else {}
        assert others | kept == parse(with_old_root(content, model, SETTING, PLACE), PLACE), content
