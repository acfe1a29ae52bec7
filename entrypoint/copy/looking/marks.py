"""Numbers for places, and for what is there: eight bytes in the stead of a name."""

from hashlib import blake2b

from entrypoint.host.confined.beneath import LONGEST


class Marks:
    """The marks of directories that are looked at one after the other.

    What lies deeper than a path can tell is mostly in what was looked at just before, of which so much is known: of
    ten thousand directories in each other, gigabytes of names would be read each time.
    """

    def __init__(self) -> None:
        self._near, self._known = b"", blake2b(digest_size=8)

    def mark(self, inode: int, name: bytes) -> int:
        of_place = self._of(name).copy()
        of_place.update(b"\0%d" % inode)
        return int.from_bytes(of_place.digest(), "little")

    def place(self, name: bytes) -> int:
        """The same of a place alone, whatever is there."""
        return int.from_bytes(self._of(name).digest(), "little")

    def _of(self, name: bytes) -> blake2b:
        if len(name) <= LONGEST:
            return blake2b(name, digest_size=8)
        if not name.startswith(self._near):
            self._near, self._known = b"", blake2b(digest_size=8)
        found = self._known.copy()
        found.update(memoryview(name)[len(self._near) :])
        self._near, self._known = name, found
        return found
