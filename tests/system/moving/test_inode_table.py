"""A move whose last looks go by the inode table, beside a walk over the same root."""

import json
from pathlib import PurePosixPath
from typing import Any

import pytest

from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import Copier
from entrypoint.copy.looking import choice
from entrypoint.copy.looking.changes import Look
from entrypoint.copy.looking.index import Index
from entrypoint.copy.looking.marks import Places
from entrypoint.copy.looking.table_look import TableLook
from entrypoint.host.disks.filesystem import mounts_of
from entrypoint.host.disks.inodes import table as tables
from entrypoint.host.disks.stored import from_json
from entrypoint.journal.unfinished import INDEX, PLACES
from tests.hosts import Disk, Host, boot
from tests.hosts.content import FEWER, populate
from tests.integration.copy.test_table_look import told
from tests.system.support.moving import (
    DISK,
    SOURCE,
    TARGET,
    UNIT,
    arm,
    assert_committed,
    assert_equal_roots,
    await_pause,
    before,
    disarm,
    outcome,
    relocator,
    resume,
)

pytestmark = pytest.mark.system

FROZEN = "final sync.intended"
VOLUME = f"{SOURCE}/volumes/many/_data"
MANY = 20_000  # files: a table is of all that a file system holds, and image layers are no part of the last looks


def test_the_last_looks_of_a_move_read_the_table_and_find_what_a_walk_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        Disk("6G", "ext4") as old,
        Disk("6G", "ext4") as new,
        boot(name="inodes", disks={"/var": old, DISK: new}) as host,
    ):
        populate(host, roles=FEWER)
        host.docker("volume", "create", "many")
        host.run(f"cd {VOLUME}; mkdir $(seq 200); for d in *; do (cd $d; touch $(seq {MANY // 200})); done")
        was = before(host)
        arm(host, f"{FROZEN} pause")
        handed_over = relocator(host, TARGET)
        assert handed_over.returncode == 10, handed_over.stdout + handed_over.stderr
        await_pause(host, FROZEN)
        try:
            monkeypatch.setattr(tables, "mounts", lambda: mounts_of(host.leader))
            walk, table = looks(host)
            found = told(walk.changes())
            assert len(found) > 10
            assert told(table.changes()) == found
        finally:
            resume(host, FROZEN)
        assert_committed(host, outcome(host), was)
        disarm(host, FROZEN)
        assert [one["of"] > MANY for one in read_by(host)] == [True, True]  # the final sync, and the check
        assert_equal_roots(host, SOURCE, TARGET)


def looks(host: Host) -> tuple[Look, TableLook]:
    """The two, as the worker makes them; from outside, where its namespaces are not."""
    source, target, copied = host.path(SOURCE), host.path(TARGET), last_copied(host)
    copier = Copier(source, target, same_file_system=False, path=PurePosixPath(SOURCE))
    walk = copier.look(copied, Places.read(target / PLACES), live=False)
    index = Index.read(target / INDEX, choice.whose(source, copied.since))
    assert index is not None
    with tables.inode_table(source) as table:
        assert table is not None
        changed = table.changed(walk.since, choice.MOST_CHANGED)
    by_table = TableLook(walk.root, walk.since, walk.excludes, walk.places, False, walk.covered,
                         index=index, changed=changed)  # fmt: skip
    return walk, by_table


def last_copied(host: Host) -> Copied:
    run = sorted(host.path("/var/lib/relocator/runs").iterdir())[-1]
    return from_json(Copied, json.loads((run / "plan.json").read_text())["copied"][0])


def read_by(host: Host) -> list[dict[str, Any]]:
    """What the worker says of its readings of the table."""
    lines = host.run(["journalctl", f"--unit={UNIT}", "--output=cat", "--no-pager"]).stdout.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and '"inode_table.read"' in line]
