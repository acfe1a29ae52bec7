"""A data root that holds everything a data root can hold, its copier, and two opinions on whether the copy is equal.

For the tests with real files; it needs root.
"""

import io
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from entrypoint.console import events
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import Copier
from entrypoint.copy.cp import Programs
from entrypoint.copy.looking.comparison import Comparison, require_equal
from entrypoint.copy.looking.marks import Places
from entrypoint.copy.transfer import Sent
from entrypoint.engine import drivers
from entrypoint.engine.drivers import MOVED
from entrypoint.journal.unfinished import INDEX, NAME, PLACES, Unfinished
from tests.hosts.survey import Survey, compare, survey

SECOND = 1_000_000_000
MIB = 1024 * 1024
ODD = (b"new\nline", b"\xff\xfe", b"sp ace", b"*?[a]", b"back\\slash", b"-rf", b"#hash", b";semi", "ü\u2028".encode())
NOT_DATA = {b"tmp", b"runtimes", b"lost+found", b"volumes/backingFsBlockDev"} | {
    os.fsencode(f"{driver.name}/{name}") for driver in MOVED for name in ("backingFsBlockDev", "container/merged")
}
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service=ep
VOLUME, CONTAINER, LAYER = "volumes/data/_data", "overlay2/container/diff", "overlay2/layer1/diff"


def acl(group: int) -> bytes:
    """What `setfacl -m g:GROUP:rw` stores: version 2, then tag, permissions and id of each entry."""
    everyone = 0xFFFFFFFF
    entries = ((0x01, 6, everyone), (0x04, 4, everyone), (0x08, 6, group), (0x10, 6, everyone), (0x20, 4, everyone))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def write(place: Path, content: bytes = b"content") -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


def fill(folder: Path) -> None:
    """Everything that a layer or a volume can hold."""
    for odd in ODD:
        write(folder / "odd" / os.fsdecode(odd))
    write(folder / "first")
    (folder / "sub").mkdir(mode=0o2751)
    os.link(folder / "first", folder / "sub/second")
    with write(folder / "sparse", b"").open("wb") as sparse:
        sparse.truncate(8 * MIB)
        sparse.seek(4 * MIB)
        sparse.write(b"data")
    os.mkfifo(folder / "fifo", 0o640)
    os.mknod(folder / "whiteout", stat.S_IFCHR, os.makedev(0, 0))
    os.mknod(folder / "disk", stat.S_IFBLK | 0o660, os.makedev(7, 99))
    os.mknod(folder / "socket", stat.S_IFSOCK | 0o755)  # bind(2) takes no path longer than 107 bytes
    for link, place in (("symlink", "first"), ("dangling", "/no/where"), ("long", "x" * 200)):
        (folder / link).symlink_to(place)
    write(folder / "setuid").chmod(0o4755)
    write(folder / "owned")
    os.chown(folder / "owned", 12345, 4_000_000_000)
    os.lchown(folder / "dangling", 1, 2)
    write(folder / "immense", os.urandom(3 * MIB))
    write(folder / "empty", b"")
    attributes(folder)
    for name in ("first", "symlink", "fifo", "sub", "."):
        os.utime(folder / name, ns=(SECOND, SECOND + 123_456_789), follow_symlinks=False)


def attributes(folder: Path) -> None:
    os.setxattr(folder / "first", "user.colour", b"blue\0\xff")
    os.setxattr(folder / "sub", "trusted.overlay.opaque", b"y")
    os.setxattr(folder / "symlink", "trusted.mark", b"1", follow_symlinks=False)
    os.setxattr(folder / "setuid", "security.capability", CAPABILITY)
    os.setxattr(folder / "owned", "system.posix_acl_access", acl(1000))
    os.setxattr(folder / "sub", "system.posix_acl_default", acl(1000))
    for name, level in ((".", "s0"), ("sub", "s0"), ("first", "s0:c1,c2"), ("symlink", "s0:c1,c2"), ("fifo", "s0")):
        label = f"system_u:object_r:container_file_t:{level}\0".encode()
        os.setxattr(folder / name, "security.selinux", label, follow_symlinks=False)


def add_layer(root: Path, cache_id: str, driver: str = "overlay2") -> Path:
    entry = root / f"image/{driver}/layerdb/sha256" / cache_id.ljust(64, "0")
    write(entry / "cache-id", cache_id.encode())
    write(entry / "size", b"3145728")
    diff = root / drivers.of(driver).content(cache_id)
    if drivers.of(driver).view:
        write(diff.with_name("link"), b"ABC")
    diff.parent.mkdir(parents=True, exist_ok=True)
    diff.mkdir(mode=0o755)
    return diff


def make_root(root: Path, driver: str = "overlay2") -> Path:
    for cache_id in ("layer1", "layer2"):
        fill(add_layer(root, cache_id, driver))
    for place in (VOLUME, drivers.of(driver).content("container")):
        (root / place).mkdir(parents=True)
        fill(root / place)
    write(root / "containers/abc/config.v2.json")
    write(root / "tmp/GetImageBlob1")
    write(root / "runtimes/runc")
    if drivers.of(driver).view:
        (root / driver / "container/merged").mkdir()
    for place in (driver, "volumes"):
        os.mknod(root / place / "backingFsBlockDev", stat.S_IFBLK, os.makedev(7, 98))
    root.chmod(0o710)
    return root


def unseen_write(place: Path) -> None:
    """Other content of the same size, with the time put back: nothing but the content and the ctime tells."""
    status = place.stat()
    place.write_bytes(bytes(byte ^ 0xFF for byte in place.read_bytes()))
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))


def begun() -> Unfinished:
    """The record of an attempt that has copied nothing yet."""
    return Unfinished.begun("/source", "ID")


@dataclass
class Roots:
    source: Path
    target: Path
    same_file_system: bool = False
    copier: Copier = field(init=False)

    def __post_init__(self) -> None:
        self.copier = Copier(self.source, self.target, self.same_file_system)

    def pre_copy(self) -> Copied:
        """Of a target in which nothing was copied before."""
        return self.copier.pre_copy(begun())

    def pass_over(self, copied: Copied) -> Sent:
        """One more pass while the engine runs."""
        with self.plain() as copier:
            return copier.transfer(copier.look(copied, self.places, live=True))

    def passes(self, copied: Copied) -> Copied:
        """As many as pay."""
        with self.plain() as copier:
            return copier.passes(copied, self.places)

    @property
    def places(self) -> Places:
        return Places.read(self.target / PLACES)

    @contextmanager
    def plain(self) -> Iterator[Copier]:
        """The copier without the wall of mounts."""
        programs = Programs()
        try:
            yield replace(self.copier, programs=programs)
        finally:
            programs.end()

    def look(self, root: Path) -> Survey:
        return survey(root, skip=NOT_DATA | {NAME.encode(), PLACES.encode(), INDEX.encode()})

    def require_equal(self, copied: Copied, *, least: int = 40) -> None:
        """The product's check, of the layers too, and the independent one."""
        self.copier.check(copied)
        assert require_equal(Comparison(self.source, self.target, self.copier.excludes(copied.layers))) > least
        require_equal(Comparison(self.source, self.target, self.copier.excludes(())))
        self.require_equal_surveys()

    def require_equal_surveys(self) -> None:
        found = compare(self.look(self.source), self.look(self.target))
        assert not found, str(found)


def silent() -> None:
    """Events go nowhere."""
    events.configure(io.StringIO())


def make_roots(folder: Path, driver: str = "overlay2") -> Roots:
    """A filled source with an awkward name, and an empty target."""
    silent()
    (folder / "target").mkdir(mode=0o700)
    return Roots(make_root(folder / "sou *rce", driver), folder / "target")
