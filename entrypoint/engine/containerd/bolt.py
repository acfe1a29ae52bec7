"""Reads a database of bbolt, in which containerd and the engine keep what they know: as a tree of buckets.

The format is that of its page.go and bucket.go. The first two pages are metas, of which the later transaction counts
whose checksum is right. Only what it points to is read, so that a file that is written to meanwhile can mostly be read;
where it cannot, that is found.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import TypeAlias

Tree: TypeAlias = Mapping[bytes, "Tree | bytes"]

MAGIC, VERSION = 0xED0CDAED, 2
PAGE = struct.Struct("<QHHI")  # its number, kind, count of elements, and how many pages more it has
META = struct.Struct("<IIIIQQQQQQ")  # …, page size, flags, root, its sequence, free list, end, transaction, checksum
BRANCH_ELEMENT, LEAF_ELEMENT = struct.Struct("<IIQ"), struct.Struct("<IIII")
BUCKET = struct.Struct("<QQ")  # the page of its root, 0 where that follows at once; a sequence
BRANCH, LEAF = 1, 2
IS_BUCKET = 1
SMALLEST, LARGEST = 512, 65536  # pages, in bytes
DEEPEST = 64


def read(content: bytes) -> Tree:
    """The whole of it. Raises ValueError for what is no such file, or is damaged."""
    try:
        size, root = _root(content)
        return dict(_bucket(content, size, root * size, DEEPEST))
    except (struct.error, OverflowError) as problem:
        raise ValueError(f"It names a place that is not in it: {problem}.") from problem


def below(tree: Tree, *names: bytes) -> Tree:
    """A bucket by its path; an empty one if it is not there."""
    for name in names:
        found = tree.get(name, {})
        tree = found if isinstance(found, Mapping) else {}
    return tree


def value(tree: Tree, name: bytes) -> bytes:
    """What stands for a name; empty if nothing does."""
    found = tree.get(name, b"")
    return found if isinstance(found, bytes) else b""


def unsigned(text: bytes) -> int:
    """A varint as Go writes it (encoding/binary)."""
    return sum((byte & 0x7F) << 7 * place for place, byte in enumerate(text))


def signed(text: bytes) -> int:
    """The same of a number that could be negative: its sign is the lowest bit."""
    found = unsigned(text)
    return ~(found >> 1) if found & 1 else found >> 1


def _root(content: bytes) -> tuple[int, int]:
    """The size of a page, and the number of the page where the tree begins."""
    metas = [found for place in _places(content) if (found := _meta(content, place))]
    if not metas:
        raise ValueError("It is no database of bbolt, or both of its metas are damaged.")
    _transaction, size, root = max(metas)
    return size, root


def _places(content: bytes) -> Iterator[int]:
    """Where a meta may be: at the beginning, and one page behind it, however large that is."""
    yield 0
    place = SMALLEST
    while place <= min(LARGEST, len(content) - 1):
        yield place
        place *= 2


def _meta(content: bytes, place: int) -> tuple[int, int, int] | None:
    """Transaction, size of a page, and root, if a meta is there and whole."""
    raw = content[place + PAGE.size : place + PAGE.size + META.size]
    if len(raw) < META.size:
        return None
    magic, version, size, _flags, root, _sequence, _free, _end, transaction, checksum = META.unpack(raw)
    is_meta = (magic, version) == (MAGIC, VERSION) and place in (0, size)
    return (transaction, size, root) if is_meta and _fnv(raw[:-8]) == checksum else None


def _fnv(text: bytes) -> int:
    """FNV-1a, 64 bits."""
    found = 0xCBF29CE484222325
    for byte in text:
        found = (found ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return found


def _bucket(content: bytes, size: int, place: int, depth: int) -> Iterator[tuple[bytes, Tree | bytes]]:
    """The elements below a page that begins at a `place`."""
    if depth == 0:
        raise ValueError("Its pages lead in a circle.")
    number, kind, count, _more = PAGE.unpack_from(content, place)
    if kind not in (BRANCH, LEAF) or number != (place // size if place != BUCKET.size else 0):
        raise ValueError(f"At {place} is a page {number} of kind {kind}.")
    for at in range(place + PAGE.size, place + PAGE.size + 16 * count, 16):
        if kind == BRANCH:
            _where, _key, page = BRANCH_ELEMENT.unpack_from(content, at)
            yield from _bucket(content, size, page * size, depth - 1)
        else:
            yield _element(content, size, at, depth)


def _element(content: bytes, size: int, at: int, depth: int) -> tuple[bytes, Tree | bytes]:
    flags, where, key, length = LEAF_ELEMENT.unpack_from(content, at)
    begins = at + where + key
    held = content[begins : begins + length]
    if len(held) < length:
        raise ValueError("It ends too early.")
    name = content[at + where : begins]
    if not flags & IS_BUCKET:
        return name, held
    root, _sequence = BUCKET.unpack_from(held)
    if root == 0:
        return name, dict(_bucket(held, size, BUCKET.size, depth - 1))
    return name, dict(_bucket(content, size, root * size, depth - 1))
