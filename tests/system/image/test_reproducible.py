"""Two builds from nothing, compared layer by layer, name by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts import context, saved
from tests.hosts.builder import build, builder
from tests.hosts.image import debian
from tests.hosts.saved import Entry, Saved

pytestmark = [pytest.mark.system, pytest.mark.matrix]

EPOCH = "1767225600"  # 2026-01-01
BUILDING = 1200
TAGS = ("again:1", "again:2")


@pytest.fixture(scope="module")
def built_twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Saved, Saved]:
    place = tmp_path_factory.mktemp("built")
    options = ("--no-cache", "--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}")
    with debian() as parent, builder(context.CHECKOUT) as host:
        first, second = (place / tag.replace(":", "-") for tag in TAGS)
        for tag, archive in zip(TAGS, (first, second), strict=True):
            build(host, parent, tag, archive, *options)
        host.docker("image", "rm", *TAGS)
    return saved.read(first), saved.read(second)


def aspects(entry: Entry | None) -> dict[str, object]:
    if entry is None:
        return {}
    info = entry.info
    return {
        "kind": info.type, "mode": info.mode, "owner": (info.uid, info.gid), "link": info.linkname,
        "time": info.mtime, "attributes": info.pax_headers, "content": entry.content,
    }  # fmt: skip


def differences(one: Saved, other: Saved) -> Iterator[str]:
    for number, (left, right) in enumerate(zip(one.layers, other.layers, strict=True)):
        for name in sorted(left.keys() | right.keys()):
            was, now = aspects(left.get(name)), aspects(right.get(name))
            yield from (f"{number} {name}: {what}" for what in was | now if was.get(what) != now.get(what))


@pytest.mark.timeout(BUILDING)
def test_two_builds_give_the_same_files(built_twice: tuple[Saved, Saved]) -> None:
    found = list(differences(*built_twice))
    print("\n".join(found[:200]))
    assert found == []


@pytest.mark.timeout(BUILDING)
def test_two_builds_give_the_same_image(built_twice: tuple[Saved, Saved]) -> None:
    one, other = built_twice
    assert one.config["rootfs"] == other.config["rootfs"]
    assert one.config["created"] == other.config["created"] == "2026-01-01T00:00:00Z"
    assert one.config == other.config


def test_what_was_made_is_not_younger_than_it_says(built_twice: tuple[Saved, Saved]) -> None:
    files = built_twice[0].files
    assert [
        name for name, one in files.items() if Path(name).parts[:1] == ("opt",) and one.info.mtime > int(EPOCH)
    ] == []
