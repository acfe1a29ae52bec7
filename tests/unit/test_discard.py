"""Removing a copy that is not needed: nothing of it is trusted meanwhile, and what was there before is as it was."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint import claim, discard
from entrypoint.errors import CopyError
from entrypoint.host import Host
from entrypoint.plan import Plan
from entrypoint.removal import remove_beneath
from entrypoint.unfinished import NAME, Unfinished
from tests.unit.fakes import make_host
from tests.unit.world import TARGET, make_plan


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


@pytest.fixture
def plan() -> Plan:
    return replace(make_plan(), created=())


def begin(host: Host, plan: Plan) -> Path:
    """A target of somebody else, empty until then, with a copy that has come some way; where it is."""
    target = host.path(TARGET)
    target.mkdir(parents=True)
    target.chmod(0o2775)
    os.chown(target, 1000, 1001)
    record = Unfinished.begun(plan.source, plan.engine_id, claim.take(host, plan))
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
    assert (left.layers, left.shards, left.found) == ((), (), (1000, 1001, 0o2775))
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
