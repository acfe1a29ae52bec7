"""Disks: images behind loop devices, with a file system of their own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.hosts import loop, workspace
from tests.hosts.command import CommandError, copy_content, run

MKFS = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-m", "0"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
    "vfat": ("mkfs.vfat",),
}
# xfs_io's `shutdown`: the file system writes nothing more from there on. The others have no such call.
CAN_LOSE = frozenset({"ext4", "xfs"})
_numbers = count(1)


def is_known(filesystem: str) -> bool:
    """Whether the machine's kernel can mount it."""
    # A missing module and a missing modprobe come to the same.
    with suppress(CommandError, FileNotFoundError):
        run(["modprobe", "--quiet", filesystem])
    return filesystem in Path("/proc/filesystems").read_text().split()


class Disk:
    """Sparse: a size costs nothing until it is written. `options` are mkfs's, for instance ("-N", "2000").

    Without a file system it is fresh from the factory, and the kernel looks for partitions on it.
    """

    def __init__(self, size: str = "2G", filesystem: str = "ext4", options: Sequence[str] = ()) -> None:
        self.filesystem = filesystem
        self.image = workspace.current().directory / "disks" / f"disk{next(_numbers)}.img"
        run(["truncate", "--size", size, self.image])
        if filesystem:
            run([*MKFS[filesystem], *options, self.image])
        self.device = self._connect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def number(self) -> int:
        return int(self.device.name.removeprefix("loop"))

    def close(self) -> None:
        if self.image.exists():
            loop.disconnect(self.device)
            self.image.unlink()

    def reconnect(self) -> None:
        """Forget everything the kernel remembers of it, as a disk does that lost its power."""
        loop.disconnect(self.device)
        self.device = self._connect()

    def _connect(self) -> Path:
        return loop.connect(self.image, *([] if self.filesystem else ["--partscan"]))

    @contextmanager
    def mounted(self, options: str = "") -> Iterator[Path]:
        """On the outer machine: to fill it, or to look at it while its host is off."""
        point = workspace.current().directory / "mounts" / self.image.stem
        point.mkdir(exist_ok=True)
        run(["mount", *(["-o", options] if options else []), self.device, point])
        try:
            yield point
        finally:
            workspace.unmount(point)
            point.rmdir()

    def seed(self, *sources: Path) -> None:
        """Give an empty disk the content of directories, the later ones over the earlier; one with content keeps it."""
        with self.mounted() as point:
            if {path.name for path in point.iterdir()} <= {"lost+found"}:
                for source in sources:
                    copy_content(source, point)
