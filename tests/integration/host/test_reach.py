"""A file system that does not answer, made by the kernel itself: nobody waits for it without an end."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from threading import Thread
from time import monotonic

import pytest

from entrypoint.engine.containers.needs import Surroundings, obstacles
from entrypoint.host.disks import reach
from entrypoint.host.disks.reach import Reach
from entrypoint.host.host import Host

FUSE = Path("/dev/fuse")
DETACH = 2
pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not FUSE.exists(), reason="no root, or no FUSE")


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Path]:
    """A mount whose server takes no question."""
    place, libc = tmp_path / "srv/far", ctypes.CDLL(None, use_errno=True)
    place.mkdir(parents=True)
    handle = os.open(FUSE, os.O_RDWR)
    options = f"fd={handle},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"silent", os.fsencode(place), b"fuse", 0, options):
        os.close(handle)
        pytest.skip(f"FUSE cannot be mounted: {os.strerror(ctypes.get_errno())}")
    try:
        yield place
    finally:
        libc.umount2(os.fsencode(place), DETACH)
        os.close(handle)  # whoever waits is told that there is nobody


def test_it_does_not_answer_at_all(silent: Path) -> None:
    """Else the other test would show nothing."""
    looking = Thread(target=os.path.lexists, args=[silent / "data"], daemon=True)
    looking.start()
    looking.join(1)
    assert looking.is_alive()


def test_what_containers_name_there_is_not_waited_for(
    silent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "EACH", 0.5)
    host, began = Host(tmp_path), monotonic()
    source = f"/{(silent / 'data').relative_to(tmp_path)}"
    mount = {"Type": "bind", "Source": source, "Destination": "/there"}
    one = {"Name": "/web", "State": {"Pid": 0}, "HostConfig": {}, "Mounts": [mount]}
    (found,) = obstacles(host, [one], Surroundings(frozenset(), {}, {}, (), Reach()))
    assert found.what == f"{source}, which it needs, could not be looked at in 0.5 s"
    assert Reach().resolved(host, (source, "/srv")) == (source, str(PurePosixPath("/srv")))
    assert monotonic() - began < 5
