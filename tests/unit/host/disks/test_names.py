"""Which paths are the same place, as a table of mounts tells."""

from pathlib import PurePosixPath

import pytest

from entrypoint.host.disks import names
from entrypoint.host.disks.filesystem import Mount
from entrypoint.host.disks.names import Name, Place

ROOT = PurePosixPath("/var/lib/docker")


def table(*mounts: tuple[str, str, str]) -> tuple[Mount, ...]:
    """By point, device and directory of the file system."""
    made = (("/", "8:1", "/"), *mounts)
    return tuple(Mount(PurePosixPath(point), "dev", "ext4", device, frozenset(), PurePosixPath(root))
                 for point, device, root in made)  # fmt: skip


@pytest.mark.parametrize(
    ("mounts", "found"),
    [
        ([], []),
        ([("/srv/x", "8:1", "/var/lib/docker")], [("/srv/x", ".")]),
        ([("/srv/x", "8:1", "/var/lib/docker/volumes/a/_data")], [("/srv/x", "volumes/a/_data")]),
        ([("/srv/x", "8:1", "/var/lib")], [("/srv/x/docker", ".")]),
        ([("/srv/x", "8:1", "/")], [("/srv/x/var/lib/docker", ".")]),
        ([("/srv/x", "8:1", "/var/lib/docker2")], []),
        ([("/srv/x", "8:2", "/var/lib/docker")], []),
        # A later mount hides it, whole or where the root would be.
        ([("/srv/x", "8:1", "/var/lib/docker"), ("/srv/x", "8:2", "/")], []),
        ([("/srv/x", "8:1", "/var"), ("/srv/x/lib", "8:2", "/")], []),
        # On itself, and in itself, as engines do.
        ([("/var/lib/docker", "8:1", "/var/lib/docker")], []),
        ([("/var/lib/docker/plugins/p", "8:1", "/var/lib/docker/plugins/p")], []),
        # A root on a disk of its own, which is mounted twice.
        ([("/var/lib/docker", "8:3", "/docker"), ("/mnt/all", "8:3", "/")], [("/mnt/all/docker", ".")]),
    ],
)
def test_other_names_of_a_directory(mounts: list[tuple[str, str, str]], found: list[tuple[str, str]]) -> None:
    seen = table(*mounts)
    assert names.others(ROOT, Place.of(ROOT, seen), seen) == tuple(
        Name(PurePosixPath(path), PurePosixPath(within)) for path, within in found
    )


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/var/lib/docker/volumes", "/var/lib/docker/volumes"),
        ("/srv/x", "/var/lib/docker"),
        ("/srv/x/volumes/a", "/var/lib/docker/volumes/a"),
        ("/srv/x/other/a", None),
        ("/srv/y", None),
        ("/var/lib", None),
        ("//srv/x", None),
        ("tmpfs", None),
    ],
)
def test_a_path_is_in_it_by_whatever_name(path: str, inside: str | None) -> None:
    seen = table(("/srv/x", "8:1", "/var/lib/docker"), ("/srv/x/other", "8:2", "/"), ("/srv/y", "8:2", "/"))
    found = names.within(PurePosixPath(path), ROOT, seen)
    assert found == (PurePosixPath(inside) if inside else None)


def test_the_whole_host_has_other_names_too() -> None:
    seen = table(("/srv/x", "8:1", "/"), ("/srv/y", "8:2", "/"))
    assert [names.is_whole_host(PurePosixPath(path), seen) for path in ("/", "/srv/x", "/srv/y", "/srv")] == [
        True, True, False, False,
    ]  # fmt: skip
