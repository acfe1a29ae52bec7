"""A data root without a record is compared with the one in use: a copy that is older is never to be used."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.engine.holdings import kinship
from entrypoint.engine.holdings.holdings import Holdings
from entrypoint.engine.holdings.kinship import Kin, Kinship
from entrypoint.engine.holdings.written_since import Written
from entrypoint.preflight import preflight
from entrypoint.preflight.adoption import ADOPT
from entrypoint.preflight.checks import target as target_checks
from entrypoint.preflight.roots import Left, RootKind
from tests.unit.preflight.test_adoption import FOUND, WHOLE
from tests.unit.support.data_root import write
from tests.unit.support.good_facts import GOOD, target

WRITTEN = (Written("volume data", 2, 2048),)
OLDER = replace(FOUND, record=None, kin=Kin(Kinship.OLDER, 0, WRITTEN, 86400.0))


@pytest.mark.parametrize(
    ("related", "own", "since", "lacks", "kin"),
    [
        (False, 1, WRITTEN, True, Kinship.UNRELATED),
        (True, 0, (), False, Kinship.EQUAL),
        (True, 0, WRITTEN, False, Kinship.OLDER),
        (True, 0, (), True, Kinship.OLDER),
        (True, 1, (), False, Kinship.NEWER),
        (True, 1, WRITTEN, False, Kinship.DIVIDED),
    ],
)
def test_what_each_has_that_the_other_has_not_decides(
    related: bool, own: int, since: tuple[Written, ...], lacks: bool, kin: Kinship
) -> None:
    assert kinship.of(related, own, since, lacks, 0.0).kinship is kin


def test_roots_are_related_by_ids_that_are_random(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    fresh = replace(WHOLE, engine_id="", containers={})
    assert kinship.are_related(one, other, replace(fresh, engine_id="ID"), (), "ID")
    assert kinship.are_related(one, other, replace(fresh, containers={"web": "web"}), ("web",), "ID")
    assert not kinship.are_related(one, other, replace(fresh, engine_id="OTHER"), ("web",), "ID")
    clone = replace(fresh, engine_id="ID", containers={"other": "other"})
    assert not kinship.are_related(one, other, clone, ("web",), "ID")
    for root in (one, other):
        write(root / "image/overlay2/layerdb/sha256/1/cache-id", b"random")
    assert kinship.are_related(one, other, fresh, (), "ID")


def test_a_copy_has_nothing_of_its_own_until_somebody_works_on_it(tmp_path: Path) -> None:
    """As `cp -a` leaves it: the times of the last changes are from before it was made."""
    names = ("volumes/data/_data/file", "overlay2/web/diff/file", "overlay2/image/diff/file")
    write(tmp_path / "image/overlay2/layerdb/mounts/web/mount-id", b"web")
    for name in names:
        os.utime(write(tmp_path / name), (1e9, 1e9))
    assert kinship.own_files(tmp_path) == 0
    for name in names:
        (tmp_path / name).write_text("more")
    assert kinship.own_files(tmp_path) == 2  # layers of images are unpacked, with whatever times


def test_a_root_is_as_old_as_its_last_file(tmp_path: Path) -> None:
    assert kinship.made_at(tmp_path) == 0.0
    before = time.time()
    os.utime(write(tmp_path / "file"), (1e9, 1e9))
    assert before - 1 < kinship.made_at(tmp_path) < time.time() + 1
    assert kinship.own_files(tmp_path) == 0


def test_an_older_copy_is_refused_whatever_is_insisted() -> None:
    (found,) = [one for one in preflight.check_adoption(GOOD, OLDER, (ADOPT,)) if one.id == "root-older"]
    assert "volume data (2 files, " in found.detail
    assert "Since 1970-01-02 00:00:00 UTC" in found.detail
    assert "--adopt" not in found.remedy


@pytest.mark.parametrize("kin", [*Kinship, None])
def test_adoption_is_proposed_for_no_older_root_and_nothing_for_what_is_none(kin: Kinship | None) -> None:
    facts = replace(target(content=("overlay2",)), occupant=kin)
    (found,) = target_checks.occupied(facts, facts.first)
    assert found.id == "target-not-empty"
    assert ("--adopt" in found.remedy) is (kin not in (Kinship.OLDER, None))
    assert ("--finish-copy" in found.remedy) is (kin is not None)


def test_the_copy_of_a_failed_move_is_named_and_never_adopted() -> None:
    facts = replace(target(content=("overlay2",)), left={RootKind.DATA_ROOT: Left.FAILED})
    (found,) = target_checks.occupied(facts, facts.first)
    assert (found.id, "--adopt" in found.remedy) == ("failed-copy", False)
    assert "failed-copy" in [one.id for one in preflight.check_adoption(facts, OLDER, (ADOPT,))]


@pytest.mark.parametrize("kin", [Kinship.NEWER, Kinship.DIVIDED, Kinship.UNRELATED])
def test_what_can_be_insisted_on_is_told_in_numbers(kin: Kinship) -> None:
    found = replace(OLDER, kin=Kin(kin, 7, WRITTEN, 0.0), holdings=Holdings("X", {"a": "a"}, frozenset("b"), ()))
    (told,) = [one for one in preflight.check_adoption(GOOD, found) if one.id == "root-unknown"]
    assert "1 container and 1 volume" in told.detail
    assert ("7 files were changed there" in told.detail) is (kin is not Kinship.UNRELATED)
    assert ("volume data (2 files" in told.detail) is (kin is not Kinship.UNRELATED)
