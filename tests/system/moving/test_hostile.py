"""Containers that exchange what they have for links to the host, while it is moved, back, given up and cleaned up."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hosts import Disk, Host, boot, tenant
from tests.hosts.survey import Survey, compare, survey
from tests.hosts.tenant import HOLDS, TOKEN
from tests.system.moving.test_copy import start_paused
from tests.system.support.moving import (
    DISK,
    SOURCE,
    TARGET,
    UNIT,
    arm,
    assert_exact_copy,
    assert_nothing_left,
    disarm,
    outcome,
    relocator,
)
from tests.system.support.two_roots import STORE_EMPTIED, written_at_start

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

BESIDE = f"{DISK}/beside"
RECORD = "/var/lib/relocator"
SAME_DISK = "/var/other/docker"  # on the file system of /var/lib/docker, as deep
MATRIX = pytest.mark.matrix
WATCHED = ("/etc", "/root", RECORD, DISK)
PLANTED = ("/etc", "/root", RECORD, BESIDE)
OF_VICTIM = "what only the victim may know"
# What a move changes by its own account: docs/changes.md. Of directories that is when they changed.
ITS_OWN = re.compile(
    rb"etc/docker/daemon\.json|etc/systemd/system/docker\.service\.d(/50-relocator\.conf|/10-gate\.conf)?"
    rb"|etc/systemd/system/docker\.socket\.d(/50-relocator\.conf)?"
    rb"|etc/systemd/system/relocator-mounted\.service|etc/systemd/system/[^/]+\.mount\.d(/.*)?"
    rb"|var/lib/relocator/runs/\d+(/.*)?|var/lib/relocator/[a-z]+"
    rb"|etc/containerd/config\.toml|etc/systemd/system/containerd\.service\.d(/50-relocator\.conf)?"
    rb"|mnt/big/docker(/.*)?|mnt/big/containerd(/.*)?"
)
HOLDS_ITS_OWN = re.compile(
    rb"etc/docker|etc/containerd|etc/systemd/system(/(docker|containerd)\.service\.d)?|var/lib/relocator(/runs)?|mnt/big"
)


@dataclass(frozen=True)
class Canaries:
    """What must stay as it is: mode, owner, attributes, content and times of all, and of what was put there on
    purpose even when it changed last."""

    all: Survey
    planted: dict[Path, int]


def plant(host: Host) -> None:
    """By the names that a tenant's directories have, so that whatever goes through a link meets them."""
    host.run(["mkdir", "-m", "0700", RECORD])
    for number in range(10):
        host.write(f"{SOURCE}/volumes/victim/_data/s0/f{number}", f"{OF_VICTIM}\n")
    for top in PLANTED:
        for holder in HOLDS:
            for number in range(10):
                place = f"{top}/{holder}/f{number}"
                if not host.path(place).exists():
                    host.write(place, f"{TOKEN}\n", mode=0o600)


def watch(host: Host) -> Canaries:
    entries = {}
    for top in WATCHED:
        prefix = top.strip("/").encode()
        skip = {b"docker", b"containerd"} if top == DISK else ()  # where tenants are at work themselves
        for path, entry in survey(host.path(top), skip=skip).entries.items():
            entries[prefix if path == b"." else prefix + b"/" + path] = entry
    planted = {
        place: place.stat().st_ctime_ns
        for top in PLANTED
        for holder in HOLDS
        for place in host.path(f"{top}/{holder}").glob("f?")
    }
    assert len(planted) >= 10 * len(PLANTED)
    return Canaries(Survey(host.path("/"), entries), planted)


def assert_untouched(host: Host, was: Canaries) -> None:
    now = watch(host)
    found = compare(was.all, now.all, ignore=of_its_own)
    assert not found, f"{found}\n{host.journal(UNIT)}"
    assert now.planted == was.planted


def of_its_own(path: bytes, aspect: str) -> bool:
    return ITS_OWN.fullmatch(path) is not None or (aspect == "mtime" and HOLDS_ITS_OWN.fullmatch(path) is not None)


def assert_no_secret(host: Host, root: str) -> None:
    """Nothing of the host is in the copy, and nothing of the victim but in its own volume."""
    own = os.fsencode(host.path(f"{root}/volumes/victim")) + b"/"
    words = ["grep", "-rlE", "--devices=skip", f"{TOKEN}|{OF_VICTIM}", str(host.path(root))]
    found = subprocess.run(words, capture_output=True, check=False).stdout
    assert [place for place in found.splitlines() if not place.startswith(own)] == []


@dataclass(frozen=True)
class Besieged:
    """A host on which tenants attack, and what must not change on it; `both`: its images are in containerd."""

    host: Host
    was: Canaries
    both: bool

    def move(self, source: str, target: str) -> None:
        """To a good end; the copy is looked at before an engine starts on it."""
        with start_paused(self.host, target, "--same-disk"):
            assert_exact_copy(self.host, source, target)
            self.nothing_came_in(source, target)
        self.ended()

    def nothing_came_in(self, source: str, target: str) -> None:
        """containerd is up by now, and has written what it writes at a start."""
        assert_no_secret(self.host, target)
        if self.both:
            before, after = (survey(self.host.path(store_of(root)), skip=emptied) for root in (source, target))
            assert not (found := compare(before, after, ignore=written_at_start)), str(found)
            assert_no_secret(self.host, store_of(target))

    def back(self) -> None:
        told = relocator(self.host, "rollback", "--yes")
        assert told.returncode == 10, told.stdout + told.stderr
        self.ended()

    def ended(self) -> None:
        told = outcome(self.host)
        assert (told["state"], told["exit_code"]) == ("committed", 0), f"{told}\n{self.host.journal(UNIT)}"
        assert_nothing_left(self.host)
        self.untouched()

    def given_up(self, target: str) -> None:
        """A move that fails when its first root is copied: the copy is kept for the next try, and nothing else is
        touched."""
        arm(self.host, "pre-copy.passed fail")
        told = relocator(self.host, target)
        assert told.returncode == 4, told.stdout + told.stderr
        disarm(self.host, "pre-copy.passed")
        assert self.host.path(store_of(target) if self.both else target).exists(), told.stdout + told.stderr
        self.untouched()

    def cleaned_up(self, root: str) -> None:
        told = relocator(self.host, "cleanup", "--yes")
        assert told.returncode == 0, told.stdout + told.stderr
        assert not self.host.path(root).exists()
        assert not (self.both and self.host.path(store_of(root)).exists())
        self.untouched()

    def untouched(self) -> None:
        tenant.assert_at_work(self.host)
        assert_untouched(self.host, self.was)


def store_of(root: str) -> str:
    """Where containerd's root is, or goes, if images are in it."""
    return str(Path(root).with_name("containerd"))


def emptied(path: bytes) -> bool:
    return STORE_EMPTIED.fullmatch(path) is not None


@pytest.fixture(params=[False, pytest.param(True, marks=MATRIX)], ids=["overlay2", "containerd"])
def besieged(request: pytest.FixtureRequest) -> Iterator[Besieged]:
    with Disk("8G", "ext4") as disk, boot(name="hostile", disks={DISK: disk}, containerd_store=request.param) as host:
        yield besiege(host, both=request.param)


def besiege(host: Host, *, both: bool) -> Besieged:
    tenant.install(host)
    host.docker("volume", "create", "victim")
    plant(host)
    was = watch(host)
    tenant.start(host)
    tenant.assert_at_work(host)
    return Besieged(host, was, both)


def test_nothing_is_touched_there_and_back(besieged: Besieged) -> None:
    besieged.move(SOURCE, TARGET)
    besieged.back()
    besieged.cleaned_up(TARGET)


@MATRIX
def test_nothing_is_touched_by_ten_moves_and_by_what_is_given_up(besieged: Besieged) -> None:
    """On the same file system and to another one, there and back, with copies that are given up between them."""
    besieged.given_up(TARGET)
    for _again in range(2):
        besieged.move(SOURCE, TARGET)
        besieged.back()
        besieged.cleaned_up(TARGET)
        besieged.move(SOURCE, SAME_DISK)
        besieged.cleaned_up(SOURCE)
        besieged.given_up(TARGET)
        besieged.move(SAME_DISK, TARGET)
        besieged.cleaned_up(SAME_DISK)
        besieged.move(TARGET, SOURCE)
        besieged.cleaned_up(TARGET)
