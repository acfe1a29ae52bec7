"""After each write of a switch, there and back, the host may go down: its next boot starts the engine on the root that
is configured then, waits for that root's disk, and is woken by it if it comes late."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from shutil import rmtree
from typing import Any

import pytest

from entrypoint.console.errors import ExitCode, SystemdError
from entrypoint.console.events import Phase
from entrypoint.host.services import waking
from entrypoint.host.services.ordering import listening_drop_in, ordering_drop_in, quote_for_unit
from entrypoint.move import safety_net
from entrypoint.move.switch import guard
from entrypoint.settings import edits
from entrypoint.settings.file_edit import FileEdit
from tests.unit.move.dying.test_crash_points import Deadly, Killed, start_again, steps_failing_in
from tests.unit.support.fakes import DEFAULT_ROOT, SERVICE, SOCKET
from tests.unit.support.good_facts import ROOT_MOUNT, mount
from tests.unit.support.world import DROP_IN, LISTENING, TARGET, World, make_world

OLD_DISK, NEW_DISK = PurePosixPath(DEFAULT_ROOT), PurePosixPath("/srv/new")
DISKS = {DEFAULT_ROOT: OLD_DISK, TARGET: NEW_DISK}
UNITS = (SOCKET, SERVICE)
TABLE = (ROOT_MOUNT, mount(str(OLD_DISK), "8:1"), mount(str(NEW_DISK), "8:2"))
WRITES = ((edits, "atomic_write"), (edits, "remove_durably"), (guard, "atomic_write"), (guard, "remove_durably"))


def woken(old: PurePosixPath | None, new: PurePosixPath | None) -> tuple[FileEdit, ...]:
    """The edits of what wakes the engine, from one disk to another; none is the system's own."""
    before, after = (waking.wanted([one] if one else [], UNITS) for one in (old, new))
    names = waking.places(*(one for one in (old, new) if one))
    return tuple(FileEdit(name, before.get(name), after.get(name), ()) for name in names)


def on_two_disks(
    folder: Path, patch: pytest.MonkeyPatch, old: PurePosixPath | None, new: PurePosixPath | None
) -> World:
    """A host whose engine was moved to a disk before."""
    world = make_world(folder, patch)
    patch.setattr(guard, "mounts", lambda: TABLE)
    before = ordering_drop_in(PurePosixPath(DEFAULT_ROOT)) if old else None
    listened = listening_drop_in(PurePosixPath(DEFAULT_ROOT)) if old else None
    plan = replace(
        world.move.plan,
        waking=woken(old, new),
        ordering=FileEdit(DROP_IN, before, world.move.plan.ordering.after),
        listening=tuple(replace(edit, before=listened) for edit in world.move.plan.listening),
    )
    for edit in (*plan.waking, *plan.orderings):
        edits.put(world.path(edit.path), edit.before)
    safety_net.spread(world.move.run, plan)
    return replace(world, move=replace(world.move, plan=plan))


@dataclass
class Counted:
    """Writes of the configuration, of which one is the last thing that is done."""

    last: int
    made: int = 0

    def install(self, patch: pytest.MonkeyPatch, deadly: Deadly) -> None:
        for module, name in WRITES:
            patch.setattr(module, name, self._dying(getattr(module, name), deadly))

    def _dying(self, write: Callable[..., None], deadly: Deadly) -> Callable[..., None]:
        def wrote(*given: Any, **named: Any) -> None:
            deadly.require_alive()
            write(*given, **named)
            self.made += 1
            if self.made == self.last:
                deadly.passed.append(str(given[0]))
                deadly.dead = True
                raise Killed

        return wrote


def cut_short(world: World, failing: Phase | None, last: int) -> bool:
    """The host goes down right after a write; whether it came to that."""
    deadly, counted = Deadly(), Counted(last)
    world.daemon.serves = failing is None
    with pytest.MonkeyPatch.context() as patch, suppress(Killed):
        deadly.install(patch, world)
        counted.install(patch, deadly)
        world.work(steps_failing_in(failing))
    return deadly.dead


def boot(world: World) -> None:
    """What was only in memory is gone, and the engine's units are started."""
    for folder in ("run/relocator", "run/systemd/system"):
        rmtree(world.path(folder), ignore_errors=True)
        world.path(folder).parent.mkdir(parents=True, exist_ok=True)
    world.path("run/systemd/system").mkdir(exist_ok=True)
    world.systemd.stop(UNITS)
    world.systemd.start(UNITS)


def text(world: World, place: str) -> str:
    return world.path(place).read_text() if world.path(place).exists() else ""


def waits(world: World, root: str) -> bool:
    """Whether the engine comes after the mount of a root, and asks for no other root's."""
    ordered, guarded = text(world, DROP_IN), text(world, guard.drop_in(SERVICE))
    named = f"RequiresMountsFor={quote_for_unit(root)}"
    return named in ordered if ordered else f"{waking.escaped(DISKS[root])}.mount" in guarded


def listens(world: World, root: str) -> bool:
    """Whether the socket asks for no root but that one: it would wait for another disk, and the engine with it."""
    named = [line for line in text(world, LISTENING).splitlines() if line.startswith("RequiresMountsFor=")]
    return named in ([], [f"RequiresMountsFor={quote_for_unit(root)}"])


def is_woken(world: World, disk: PurePosixPath) -> bool:
    """Whether a disk that comes late starts the engine, though no other is there."""
    conditions = [one.removeprefix(waking.MOUNTED) for one in text(world, waking.UNIT).splitlines()
                  if one.startswith(waking.MOUNTED)]  # fmt: skip
    any_of = [one.removeprefix("|") for one in conditions if one.startswith("|")]
    all_of = [one for one in conditions if not one.startswith("|")]
    is_met = bool(conditions) and all(one == str(disk) for one in all_of) and (not any_of or str(disk) in any_of)
    return is_met and bool(text(world, waking.drop_in(disk)))


def faults_after(world: World, disks: dict[str, PurePosixPath | None]) -> list[str]:
    root = world.daemon.configured_root()
    try:
        boot(world)
    except SystemdError as error:
        return [f"it does not start on {root}: {error}"]
    found = [] if world.daemon.root == root else [f"it starts on {world.daemon.root}, and {root} is configured"]
    found += [] if listens(world, root) else [f"its socket waits for another disk than that of {root}"]
    if disk := disks[root]:
        found += [] if waits(world, root) else [f"it does not wait for {root}"]
        found += [] if is_woken(world, disk) else [f"{disk} does not wake it"]
    return found


@pytest.mark.parametrize("failing", [None, Phase.START], ids=["there", "back"])
@pytest.mark.parametrize(("old", "new"), [(OLD_DISK, NEW_DISK), (None, NEW_DISK), (OLD_DISK, None)])
def test_whichever_write_was_the_last(
    tmp_path: Path, failing: Phase | None, old: PurePosixPath | None, new: PurePosixPath | None
) -> None:
    faults, last = {}, 0
    while True:
        with pytest.MonkeyPatch.context() as patch:
            world = on_two_disks(tmp_path / str(last := last + 1), patch, old, new)
            was_cut = cut_short(world, failing, last)
            if found := faults_after(world, {DEFAULT_ROOT: old, TARGET: new}):
                faults[last] = found
            if not was_cut:
                break
            is_new = start_again(world, failing) is ExitCode.DONE
            left = {one.path for one in (*world.move.plan.waking, *world.move.plan.listening)
                    if edits.content(world.path(one.path)) != (one.after if is_new else one.before)}  # fmt: skip
            if left:
                faults[last] = [f"left otherwise: {left}"]
    assert faults == {}
    assert last > 6


def test_what_starts_it_meanwhile_knows_both_disks() -> None:
    old, new = (waking.wanted([disk], UNITS)[waking.UNIT] for disk in (OLD_DISK, NEW_DISK))
    text = (waking.by_either(old, new) or b"").decode()
    assert f"\n{waking.MOUNTED}|{OLD_DISK}\n{waking.MOUNTED}|{NEW_DISK}\nDescription=" in text
    assert waking.by_either(text.encode(), new) == text.encode()
    assert waking.by_either(None, new) == waking.by_either(new, None) == waking.by_either(new, new) == new
    assert waking.by_either(None, None) is None
