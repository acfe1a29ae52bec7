"""Removing a tree of files without leaving it: not by a symbolic link, not by a mount, whoever changes it meanwhile.

Every directory is opened relative to the one it is in, without following links, and asked which mount it is on
(proc_pid_fdinfo(5), `mnt_id`): a bind mount of the same file system has the same device number, and `rm
--one-file-system` goes through it.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from entrypoint.console.wording import printable
from entrypoint.host.confined.chattr import loosen
from entrypoint.host.confined.entries import unlink

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A directory deeper than this is moved up first: each level holds a file descriptor and a call of a function.
DEEPEST = 200
SHOWN = 20
REMOVING = ".relocator-removing-"


@dataclass
class Removal:
    """What was removed below one directory, and what could not be: `problems`, the first few, a sentence each.

    In a copy of ours, but nowhere else, a file that nobody may change is removed as well (`loosens`).
    """

    root: Path
    progress: Callable[[int], None] = lambda _removed: None
    loosens: bool = False
    removed: int = 0
    problems: list[str] = field(default_factory=list)

    def remove(self, names: Iterable[str]) -> None:
        """Remove entries of the root. What is mounted below, and what cannot be removed, stays and is told."""
        handle = os.open(self.root, DIRECTORY)
        try:
            self.remove_from(handle, names)
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove_from(self, folder: int, names: Iterable[str]) -> None:
        """The same from an open directory."""
        self._top = folder
        self._mount, self._device = mount_of(folder), os.fstat(folder).st_dev
        if self.loosens:
            loosen(folder)
        todo = list(names)
        while todo:
            self._entry(folder, todo.pop(), 0, todo)

    def _entry(self, parent: int, name: str, depth: int, todo: list[str]) -> None:
        try:
            if not self._is_directory(parent, name):
                self._unlink(parent, name)
            elif depth < DEEPEST:
                self._directory(parent, name, depth, todo)
                os.rmdir(name, dir_fd=parent)
            else:
                todo.append(self._move_up(parent, name))
                return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or not self.problems:  # what is in it has been told
                self._tell(parent, name, error.strerror or str(error))
            return
        self.removed += 1
        self.progress(self.removed)

    def _unlink(self, parent: int, name: str) -> None:
        if self.loosens:
            unlink(parent, os.fsencode(name))
        else:
            os.unlink(name, dir_fd=parent)

    def _is_directory(self, parent: int, name: str) -> bool:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)

    def _directory(self, parent: int, name: str, depth: int, todo: list[str]) -> None:
        """Empty a directory, unless something is mounted there."""
        handle = os.open(name, DIRECTORY, dir_fd=parent)
        try:
            if mount_of(handle) != self._mount:
                raise OSError(0, "something is mounted there")
            if os.fstat(handle).st_dev != self._device:
                raise OSError(0, "it is a subvolume of its own")
            if self.loosens:
                loosen(handle)
            with os.scandir(handle) as listing:
                inside = [entry.name for entry in listing]
            for entry in inside:
                self._entry(handle, entry, depth + 1, todo)
        finally:
            os.close(handle)

    def _move_up(self, parent: int, name: str) -> str:
        """Give a deep directory a place at the top; its name there."""
        short = f"{REMOVING}{os.urandom(8).hex()}"  # no name that a tenant could have there
        os.rename(name, short, src_dir_fd=parent, dst_dir_fd=self._top)
        return short

    def _tell(self, parent: int, name: str, why: str) -> None:
        """With the place below the root: what both directories are called here has the same beginning."""
        if len(self.problems) < SHOWN:
            root, folder = (os.readlink(f"/proc/self/fd/{handle}") for handle in (self._top, parent))
            self.problems.append(f"{printable(os.path.join(folder.removeprefix(root), name).lstrip('/'))}: {why}")


def remove_beneath(folder: int, names: Iterable[str]) -> list[str]:
    """Remove entries of an open directory in a copy of ours; what could not be, a sentence each."""
    removal = Removal(Path(f"/proc/self/fd/{folder}"), loosens=True)
    removal.remove_from(folder, names)
    return removal.problems


def mount_of(handle: int) -> str:
    """The number of the mount that an open file is on."""
    lines = Path(f"/proc/self/fdinfo/{handle}").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith("mnt_id:"))
