"""A data root of which two tenants write to a part each, what they can exchange there, and what must stay as it is.

Beside source and target lies a *canary*: a folder with the names that a tenant's directories have, so that whatever is
written, removed or given attributes through a link that leads there shows. It takes `/etc`'s part.
"""

import json
import os
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.hosts.survey import Differences, Survey, compare, survey
from tests.integration.support.attacker import NOBODY
from tests.integration.support.copier_run import Harm
from tests.unit.support.data_root import NOT_DATA, add_layer, fill, write

ATTACKER = Path(__file__).with_name("attacker.py")
CHECKOUT = Path(__file__).parents[3]
VOLUME, LAYER, VICTIM = "volumes/attacker/_data", "overlay2/container/diff", "volumes/victim/_data"
TENANTS = (VOLUME, LAYER)
RECORDS = {b".relocator-unfinished", b".relocator-places", b".relocator-index"}
OF_CANARY, OF_VICTIM = b"what only the host may know", b"what only the victim may know"
FILES, FOLDERS = 8, 3


@dataclass
class Scene:
    """Source, target and canary in one folder, at the same depth: what a link means is the same in both trees."""

    folder: Path
    seed: int
    pairs: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.source, self.target, self.canary = (self.folder / name for name in ("source", "target", "canary"))
        self._build()
        self._canaries = self._look()
        self._victims = self._bystanders()

    def _build(self) -> None:
        self.target.mkdir(mode=0o700, parents=True)
        fill(add_layer(self.source, "layer1"))
        tree(self.canary / "big", OF_CANARY)
        write(self.canary / "file", OF_CANARY).chmod(0o640)
        tree(self.source / VICTIM, OF_VICTIM)
        for tenant in TENANTS:
            (self.source / tenant).mkdir(parents=True)
            chance = random.Random(f"{self.seed} {tenant}")
            found = list(exchanges(self.source / tenant, chance))
            # Each by itself often enough: what fails at one thing is not seen to fail at another.
            self.pairs[tenant] = chance.sample(found, chance.choice((1, 2, 4, len(found))))
            give_away(self.source / tenant)

    def _look(self) -> dict[str, object]:
        """Of the canary, everything; ctime too, which nobody can put back."""
        entries = survey(self.canary).entries
        changed = {path: os.lstat(os.path.join(os.fsencode(self.canary), path)).st_ctime_ns for path in entries}
        return {os.fsdecode(path): (entry, changed[path]) for path, entry in entries.items()}

    def _bystanders(self) -> Survey:
        """What nobody writes to in the source."""
        return survey(self.source, skip={os.fsencode(tenant) for tenant in TENANTS})

    def require_harmless(self) -> None:
        """Raises Harm if anything has left the target, or has come from outside of where it belongs."""
        now = self._look()
        if touched := [name for name in {**now, **self._canaries} if now.get(name) != self._canaries.get(name)]:
            raise Harm(f"touched outside the target: {touched[:20]}")
        if strangers := {path.name for path in self.folder.iterdir()} - {"source", "target", "canary"}:
            raise Harm(f"made outside the target: {strangers}")
        if changed := compare(self._victims, self._bystanders()):
            raise Harm(f"changed in the source: {changed}")
        self._require_no_secret()

    def _require_no_secret(self) -> None:
        own = os.fsencode(self.target / VICTIM) + b"/"
        for place in files(self.target):
            found = contents(place)
            if OF_CANARY in found or (OF_VICTIM in found and not place.startswith(own)):
                raise Harm(f"{place!r} in the copy says {found[:40]!r}")

    def differences(self) -> Differences:
        """The independent opinion on whether the copy is equal."""
        skip = NOT_DATA | RECORDS
        return compare(survey(self.source, skip=skip), survey(self.target, skip=skip))

    @contextmanager
    def attacked(self) -> Iterator[None]:
        """While in the block, both tenants do what they can."""
        with ExitStack() as stack:
            for number, tenant in enumerate(TENANTS):
                stack.enter_context(attacking(self.source / tenant, self.seed + number, self.pairs[tenant]))
            yield


@contextmanager
def attacking(folder: Path, seed: int, pairs: list[tuple[str, str]]) -> Iterator[None]:
    words = [sys.executable, "-I", "-c", ATTACKER.read_text(), str(seed), json.dumps(pairs)]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            yield
            assert process.poll() is None, "the attacker ended by itself"
        finally:
            process.kill()


def tree(folder: Path, content: bytes) -> Path:
    """A directory that is cut into shards, with files of its own and directories with files."""
    for number in range(FILES):
        write(folder / f"f{number}", content)
    for place in (folder / f"d{number}" for number in range(FOLDERS)):
        for number in range(FILES):
            write(place / f"f{number}", content)
    os.link(folder / "f0", folder / "d0/linked")
    return folder


def exchanges(top: Path, chance: random.Random) -> Iterator[tuple[str, str]]:
    """What a tenant can exchange with what; made here, because it may not make devices itself."""
    links = {
        "out": "../" * 4 + "canary",
        "absolute": str(top.parents[2].parent / "canary"),
        "victim": "../../victim/_data" if top.parent.parent.name == "volumes" else "../../../volumes/victim/_data",
        "copy": "../" * 4 + "target/" + VICTIM,
    }
    for name, place in links.items():
        here = f"{place}/big" if "canary" in place else place
        yield exchange(top, f"big-{name}", here)
        tree(top / f"big-{name}", b"mine")
        yield exchange(top, f"big-{name}/d1", f"{here}/d1" if here.startswith("/") else f"../{here}/d1")
        yield exchange(top, f"file-{name}", f"{here}/f1")
        write(top / f"file-{name}", b"mine" * 1000)
    os.link(top / "file-out", top / "big-out/other-name")
    for kind, mode, device in (
        ("fifo", stat.S_IFIFO, 0),
        ("socket", stat.S_IFSOCK, 0),
        ("character", stat.S_IFCHR, os.makedev(1, 3)),
        ("endless", stat.S_IFCHR, os.makedev(1, 5)),
        ("block", stat.S_IFBLK, os.makedev(7, 99)),
    ):
        os.mknod(top / f"{kind}.aside", mode | 0o666, device)
        yield f"is-{kind}", f"{kind}.aside"
        write(top / f"is-{kind}", b"mine" * 1000)
    for name in ("folder-file", "folder-linked"):
        yield name, f"{name}.aside"
        tree(top / name, b"mine")
        write(top / f"{name}.aside", b"mine")
    os.link(top / "folder-linked.aside", top / "linked")
    yield "linked", "folder-linked/d0"
    yield from deep(top, chance)


def deep(top: Path, chance: random.Random) -> Iterator[tuple[str, str]]:
    """Directories that change places with what is in others, so that `..` means something else in the middle."""
    for one in ("left", "right"):
        write(top / one / "a/b/c/d/e" / one, b"mine")
    places = ["a", "a/b", "a/b/c", "a/b/c/d"]
    for _ in range(3):
        yield f"left/{chance.choice(places)}", f"right/{chance.choice(places)}"


def exchange(top: Path, name: str, place: str) -> tuple[str, str]:
    """A name, and a link to elsewhere that it can be exchanged with."""
    (top / f"{name}.aside").parent.mkdir(parents=True, exist_ok=True)
    (top / f"{name}.aside").symlink_to(place)
    return name, f"{name}.aside"


def give_away(top: Path) -> None:
    for folder, folders, names in os.walk(top):
        for name in (".", *folders, *names):
            os.lchown(os.path.join(folder, name), NOBODY, NOBODY)


def files(top: Path) -> Iterator[bytes]:
    for folder, _, names in os.walk(os.fsencode(top)):
        for place in (os.path.join(folder, name) for name in names):
            if stat.S_ISREG(os.lstat(place).st_mode):
                yield place


def contents(place: bytes) -> bytes:
    with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return file.read(1 << 16)
