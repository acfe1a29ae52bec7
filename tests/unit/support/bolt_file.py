"""Writes a database of bbolt that is small enough for a page a bucket, as containerd would keep it."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from entrypoint.engine.containerd import bolt
from entrypoint.engine.containerd.holdings import SNAPSHOTS
from entrypoint.engine.containerd.service import BLOBS, DATABASE, snapshots
from entrypoint.engine.drivers.snapshotters import OVERLAYFS

Branches: TypeAlias = "Mapping[str, Branches | bytes]"
PAGE, ELEMENTS = 4096, 16


def database(tree: Branches) -> bytes:
    pages: list[bytes] = [b""] * 2
    root = _page(tree, pages)
    for number in (0, 1):
        raw = struct.pack("<IIIIQQQQQ", bolt.MAGIC, bolt.VERSION, PAGE, 0, root, 0, 0, len(pages), number)
        pages[number] = bolt.PAGE.pack(number, 4, 0, 0) + raw + struct.pack("<Q", bolt._fnv(raw))
    return b"".join(page.ljust(-(-len(page) // PAGE) * PAGE, b"\0") for page in pages)


def _page(tree: Branches, pages: list[bytes]) -> int:
    """The number of the page that a bucket begins on; those below it come before."""
    names = sorted(tree)
    if len(names) <= ELEMENTS:
        return _leaf(tree, pages)
    leaves = [names[place : place + ELEMENTS] for place in range(0, len(names), ELEMENTS)]
    numbers = [_leaf({name: tree[name] for name in leaf}, pages) for leaf in leaves]
    # A name that leads to a page is that of its first element, and is not looked at by who reads all.
    elements = b"".join(bolt.BRANCH_ELEMENT.pack(0, 0, number) for number in numbers)
    pages.append(bolt.PAGE.pack(len(pages), bolt.BRANCH, len(numbers), 0) + elements)
    return len(pages) - 1


def _leaf(tree: Branches, pages: list[bytes]) -> int:
    elements, held = b"", b""
    for place, (name, found) in enumerate(sorted(tree.items())):
        is_bucket = not isinstance(found, bytes)
        value = found if isinstance(found, bytes) else bolt.BUCKET.pack(_page(found, pages), 0)
        where = (len(tree) - place) * 16 + len(held)
        elements += bolt.LEAF_ELEMENT.pack(int(is_bucket), where, len(name.encode()), len(value))
        held += name.encode() + value
    page = bolt.PAGE.pack(len(pages), bolt.LEAF, len(tree), 0) + elements + held
    assert len(page) <= PAGE
    pages.append(page)
    return len(pages) - 1


def make_store(root: Path, *containers: str, image: str = "sha256:1", space: str = "moby") -> Path:
    """A root of containerd's with an image of one blob and one layer, and the layers of containers."""
    keys = ["sha256:layer", *containers]
    names = {key: f"{space}/{number}/{key}" for number, key in enumerate(keys, 1)}
    digest = f"sha256:{image.removeprefix('sha256:')}"
    unpacked = {"containerd.io/gc.ref.snapshot.overlayfs": b"sha256:layer"}
    moby: Branches = {
        "content": {"blob": {digest: {"size": bytes([2 * len(b"blob")]), "labels": unpacked}}},
        "images": {"docker.io/library/app:1": {"target": {"digest": digest.encode()}}},
        "snapshots": {OVERLAYFS.name: {
            key: {"name": name.encode(), "parent": b"sha256:layer" if key in containers else b""}
            for key, name in names.items()
        }},
    }  # fmt: skip
    kinds = [b"\3", *(b"\2" for _ in containers)]
    own: Branches = {
        name: {"id": bytes([number]), "kind": kinds[number - 1]} for number, name in enumerate(names.values(), 1)
    }
    place = root / snapshots(OVERLAYFS.name)
    for number in range(1, len(keys) + 1):
        (place / f"snapshots/{number}/fs").mkdir(parents=True)
    for file, content in (
        (root / BLOBS / digest.replace(":", "/"), b"blob"),
        (root / DATABASE, database({"v1": {"moby": {}} | {space: moby}})),
        (place / SNAPSHOTS, database({"v1": {"snapshots": own}})),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return root
