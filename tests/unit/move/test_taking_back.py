"""Edits are taken back to the byte; what somebody else has written meanwhile is neither overwritten nor lost."""

from pathlib import Path

import pytest

from entrypoint.console.errors import ExitCode, MoveError, RollbackError
from entrypoint.host.host import Host
from entrypoint.settings.edits import restore, take_back, write
from entrypoint.settings.file_edit import FileEdit
from tests.unit.support.fakes import CONFIG, DEFAULT_ROOT, SERVICE, make_host
from tests.unit.support.world import CONTENT, DROP_IN, TARGET, World, make_world

FOREIGN = b'{"debug": false, "mtu": 1400}\n'


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, monkeypatch)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


def content(host: Host, path: str = CONFIG) -> bytes | None:
    place = host.path(path)
    return place.read_bytes() if place.exists() else None


# --- the configuration file, which is the administrator's ---------------------------------------------------------

BEFORE, AFTER = b'{"a": 1}', b'{"a": 1, "data-root": "/new"}'
OLD_ROOT = b'{"data-root": "/old", "a": 1}'


@pytest.mark.parametrize(
    ("before", "now", "then"),
    [
        (BEFORE, AFTER, BEFORE),
        (BEFORE, BEFORE, BEFORE),  # never made
        (None, AFTER, None),
        (None, None, None),
        (BEFORE, None, None),  # removed by somebody else
        (BEFORE, FOREIGN, FOREIGN),
        (None, FOREIGN, FOREIGN),
        (BEFORE, b'{ "b": 2, "data-root": "/new" }\n', b'{ "b": 2 }\n'),
        (None, b'{"data-root": "/new", "b": 2}', b'{"b": 2}'),
        (OLD_ROOT, b'{"b": 2, "data-root": "/new"}', b'{"b": 2, "data-root": "/old"}'),
        (BEFORE, b'{"data-root": "/others-own"}', b'{"data-root": "/others-own"}'),
        (OLD_ROOT, b'{"b": 2}', b'{"b": 2}'),
        (BEFORE, b"", b""),
    ],
)
def test_only_the_setting_goes_back_where_somebody_else_wrote(
    host: Host, before: bytes | None, now: bytes | None, then: bytes | None
) -> None:
    if now is not None:
        host.path(CONFIG).write_bytes(now)
    for _twice in range(2):
        restore(host, FileEdit(CONFIG, before, AFTER), lambda root: root == "/new")
        assert content(host) == then


@pytest.mark.parametrize("now", [b"{", b"[]", b'{"data-root": "/new", "graph": "/new"}', b"\xff"])
def test_a_file_that_cannot_be_understood_any_more_is_left_and_told(host: Host, now: bytes) -> None:
    host.path(CONFIG).write_bytes(now)
    with pytest.raises(RollbackError, match="was changed by somebody else") as failed:
        restore(host, FileEdit(CONFIG, BEFORE, AFTER), lambda root: root == "/new")
    assert CONFIG in failed.value.details
    assert content(host) == now


def test_a_file_that_somebody_else_has_changed_is_not_written_to(host: Host) -> None:
    host.path(CONFIG).write_bytes(FOREIGN)
    with pytest.raises(MoveError, match="was changed by somebody else"):
        write(host, FileEdit(CONFIG, BEFORE, AFTER))
    assert content(host) == FOREIGN


# --- the drop-in, which is ours -----------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, b"of an earlier move"])
@pytest.mark.parametrize("now", [None, b"ours", b"ours, edited by somebody else", b"of an earlier move"])
def test_a_file_of_our_own_is_taken_back_whatever_it_holds(host: Host, before: bytes | None, now: bytes | None) -> None:
    folder = str(Path(DROP_IN).parent)
    if now is not None or before is not None:
        host.path(folder).mkdir(parents=True)
    if now is not None:
        host.path(DROP_IN).write_bytes(now)
    for _twice in range(2):
        take_back(host, FileEdit(DROP_IN, before, b"ours", ("/etc/systemd", "/etc/systemd/system", folder)))
        assert content(host, DROP_IN) == before
        assert host.path("/etc/systemd").exists() is (before is not None)


def test_what_others_put_beside_the_drop_in_stays(world: World) -> None:
    beside = world.path(f"/etc/systemd/system/{SERVICE}.d/10-proxy.conf")
    world.calls.moments["start"] = lambda: beside.write_text("[Service]\n")
    world.unproven()
    assert world.work() is ExitCode.ROLLED_BACK
    assert [beside] == list(beside.parent.iterdir())


# --- in a whole move ----------------------------------------------------------------------------------------------


def require_rolled_back(world: World, code: ExitCode, configuration: bytes | None) -> None:
    assert code is ExitCode.ROLLED_BACK
    assert content(world.host) == configuration
    assert not world.path(DROP_IN).exists()
    assert world.path(TARGET).exists() is world.was_begun_on
    assert world.daemon.up
    assert world.daemon.root == DEFAULT_ROOT


def test_a_foreign_edit_before_the_switch_is_neither_overwritten_nor_lost(world: World) -> None:
    world.calls.moments["final_sync"] = lambda: world.path(CONFIG).write_bytes(FOREIGN)
    require_rolled_back(world, world.work(), FOREIGN)
    assert world.outcome["reason"].startswith(f"{CONFIG} was changed by somebody else during the move.")


def test_a_file_made_by_others_where_there_was_none_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(tmp_path, monkeypatch, content=None)
    world.calls.moments["final_sync"] = lambda: world.path(CONFIG).write_bytes(FOREIGN)
    require_rolled_back(world, world.work(), FOREIGN)


def test_a_configuration_removed_by_others_is_not_made_anew(world: World) -> None:
    world.calls.moments["final_sync"] = lambda: world.path(CONFIG).unlink()
    require_rolled_back(world, world.work(), None)


def test_a_foreign_edit_after_the_switch_is_not_lost(world: World) -> None:
    world.daemon.stays_on = DEFAULT_ROOT  # so that the verification fails
    world.calls.moments["start"] = lambda: world.path(CONFIG).write_bytes(FOREIGN)
    require_rolled_back(world, world.work(), FOREIGN)


def test_a_foreign_edit_that_keeps_the_new_root_loses_that_alone(world: World) -> None:
    world.calls.moments["start"] = lambda: world.path(CONFIG).write_bytes(
        (world.move.plan.first.switch.after or b"").replace(b"true", b"false")
    )
    world.unproven()  # the verification
    require_rolled_back(world, world.work(), CONTENT.replace(b"true", b"false"))


def test_a_drop_in_that_somebody_has_edited_goes_too(world: World) -> None:
    world.calls.moments["start"] = lambda: world.path(DROP_IN).write_bytes(b"[Unit]\nRequiresMountsFor=/x\n")
    world.unproven()
    require_rolled_back(world, world.work(), CONTENT)


def test_an_edit_that_cannot_be_taken_back_does_not_keep_the_drop_in(world: World) -> None:
    """The engine would else wait for a disk that it does not use."""
    world.daemon.stays_on = DEFAULT_ROOT
    world.calls.moments["start"] = lambda: world.path(CONFIG).write_bytes(b"{")
    assert world.work() is ExitCode.BROKEN
    assert content(world.host) == b"{"
    assert not world.path(DROP_IN).exists()
    (problem,) = world.outcome["problems"]
    assert problem.startswith(f"switch: {CONFIG} was changed by somebody else and cannot be put back.")
