"""Removing a copy that is not needed: nothing of it is trusted meanwhile, and what was there before is as it was."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.console.errors import CopyError
from entrypoint.host.confined.beneath import FOLDER
from entrypoint.host.confined.chattr import set_flags
from entrypoint.host.confined.removal import remove_beneath
from entrypoint.host.host import Host
from entrypoint.journal.unfinished import NAME, Found, Unfinished
from entrypoint.move.roots import claim, discard
from entrypoint.plan.plan import Plan
from tests.unit.support.data_root import acl
from tests.unit.support.fakes import make_host
from tests.unit.support.world import TARGET, make_plan, with_first

NO_DUMP = 0x40  # d of chattr(1)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


@pytest.fixture
def plan() -> Plan:
    return with_first(make_plan(), created=())


def begin(host: Host, plan: Plan) -> Path:
    """A target of somebody else, empty until then, with a copy that has come some way; where it is."""
    target = host.path(TARGET)
    target.mkdir(parents=True)
    target.chmod(0o2775)
    os.chown(target, 1000, 1001)
    record = Unfinished.begun(plan.first.source, plan.engine_id, claim.take(host, plan.first, plan.engine_id))
    replace(record, layers=("a",), shards=("volumes/v",)).write(target)
    for name in ("overlay2/a", "volumes/v"):
        (target / name).mkdir(parents=True)
    return target


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to somebody else")
def test_a_directory_that_was_there_is_as_it_was(host: Host, plan: Plan) -> None:
    target = begin(host, plan)
    assert discard.discard(host, plan) == ""
    info = target.stat()
    assert (os.listdir(target), info.st_uid, info.st_gid, oct(info.st_mode)) == ([], 1000, 1001, "0o42775")


@pytest.mark.skipif(os.geteuid() != 0, reason="sets what only root may")
def test_its_attributes_and_flags_are_as_they_were(host: Host, plan: Plan) -> None:
    target = host.path(TARGET)
    target.mkdir(parents=True)
    os.setxattr(target, "trusted.theirs", b"\0theirs")
    os.setxattr(target, "system.posix_acl_default", acl(1000))
    with opened(target) as folder:
        set_flags(folder, NO_DUMP)
        was = Found.at(folder)
    Unfinished.begun(plan.first.source, plan.engine_id, claim.take(host, plan.first, plan.engine_id)).write(target)
    assert "system.posix_acl_default" not in os.listxattr(target)  # all that is copied there would inherit it
    with opened(target) as folder:
        dress_folder_as_another(folder)
        assert Found.at(folder) != was
    assert discard.discard(host, plan) == ""
    with opened(target) as folder:
        assert Found.at(folder) == was
        assert was.flags == NO_DUMP
        assert set(was.attributes) >= {"trusted.theirs", "system.posix_acl_default"}
        set_flags(folder, 0)


def dress_folder_as_another(folder: int) -> None:
    """As the copy does with a data root that has none of these."""
    os.setxattr(folder, "trusted.ours", b"ours")
    os.removexattr(folder, "trusted.theirs")
    os.removexattr(folder, "system.posix_acl_default")
    set_flags(folder, 0)


@contextmanager
def opened(place: Path) -> Iterator[int]:
    folder = os.open(place, FOLDER)
    try:
        yield folder
    finally:
        os.close(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a directory to somebody else")
def test_a_removal_that_is_cut_off_leaves_a_copy_that_is_ours_and_not_relied_on(
    host: Host, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = begin(host, plan)
    with monkeypatch.context() as patch:
        patch.setattr(discard, "remove_copy", cut_off)
        with pytest.raises(CopyError):
            discard.discard(host, plan)
    left = Unfinished.read(target)
    assert left is not None
    assert left.found is not None
    assert (left.layers, left.shards, left.found[:3]) == ((), (), (1000, 1001, 0o2775))
    assert discard.discard(host, plan) == ""
    assert target.stat().st_uid == 1000


def cut_off(target: Path) -> None:
    raise CopyError(str(target))


def test_the_record_goes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Unfinished.begun("/source", "ID").write(tmp_path)
    for name in (".hidden", "volumes"):
        (tmp_path / name).mkdir()
    gone = []

    def watched(folder: int, names: list[str]) -> list[str]:
        gone.extend(names)
        return remove_beneath(folder, names)

    monkeypatch.setattr(discard, "remove_beneath", watched)
    discard.remove_copy(tmp_path)
    assert gone == [".hidden", "volumes", NAME]


def test_a_full_disk_does_not_keep_a_copy_from_being_removed(
    host: Host, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = begin(host, plan)

    def full(_record: Unfinished, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Unfinished, "write", full)
    assert discard.discard(host, plan) == ""
    assert os.listdir(target) == []
