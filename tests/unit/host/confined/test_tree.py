"""Names that are kept by numbers are what they were, and take no more than what they do not share."""

import tracemalloc

import pytest

from entrypoint.host.confined.tree import Names

NAMES = (b"", b"a", b"a/b", b"a/c", b"b/a", b"a/b/\xff\n", b"c/d/e/f")


def test_a_name_is_what_it_was() -> None:
    names = Names()
    numbers = [names.put(name) for name in NAMES]
    assert [names.name(number) for number in numbers] == [*NAMES]
    assert len(set(numbers)) == len(NAMES)
    assert [names.put(name) for name in reversed(NAMES)] == numbers[::-1]
    assert names.put(b"") == 0


@pytest.mark.parametrize("other", [b"a", b"ab", b"ab/c", b"", b"a/bc", b"a/b/c", b"\xff/a"])
def test_a_name_is_the_same_whatever_was_put_before(other: bytes) -> None:
    names = Names()
    numbers = [names.put(name) for name in (b"a/b/c", b"a/b", b"ab/c")]
    names.put(other)
    assert names.name(names.put(other)) == other
    for name, number in zip((b"a/b/c", b"a/b", b"ab/c"), numbers, strict=True):
        names.put(other)
        assert names.put(name) == number


@pytest.mark.parametrize("depth", [1000])
def test_deep_names_are_not_kept_whole(depth: int) -> None:
    parts = [b"%0100d" % number for number in range(depth)]
    tracemalloc.start()
    names = Names()
    for number in range(depth):
        names.put(b"/".join(parts[: number + 1]))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 2 << 20  # whole they are 50 MB
