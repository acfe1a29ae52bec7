"""A whole move over the fakes: planned and pre-copied, ready for the worker."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from shutil import copy2, copytree, rmtree
from typing import Any

import pytest

from entrypoint.console.errors import ExitCode
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import identity
from entrypoint.engine.containerd.service import BLOBS, DATABASE
from entrypoint.engine.docker import Engine
from entrypoint.engine.holdings import whole
from entrypoint.host.disks.stored import to_json
from entrypoint.host.host import Host, Trace
from entrypoint.host.machine.processes import Process
from entrypoint.host.services.ordering import IMAGES, listening_drop_in, ordering_drop_in
from entrypoint.host.services.units import UnitState
from entrypoint.journal.journal import Journal
from entrypoint.journal.record import Event
from entrypoint.journal.unfinished import Unfinished
from entrypoint.move import recovery, safety_net
from entrypoint.move.context import Context, Patience
from entrypoint.move.since import served
from entrypoint.move.steps import Step, steps_of
from entrypoint.move.switch import paired_switch
from entrypoint.move.worker import handover, hold, worker
from entrypoint.move.worker.arrival import NOT_RUN, STARTED_ON
from entrypoint.plan.plan import Direction, Plan
from entrypoint.plan.root_move import RootMove, RootService
from entrypoint.preflight.request import Request
from entrypoint.preflight.roots import RootKind
from entrypoint.settings.file_edit import FileEdit
from entrypoint.settings.formats import config_toml, daemon_json
from entrypoint.settings.setting import Kind, Setting
from tests.unit.support.fakes import (
    CONFIG,
    CONTAINERD,
    CONTAINERD_CONFIG,
    CONTAINERD_ROOT,
    DEFAULT_ROOT,
    GONE,
    SERVICE,
    SOCKET,
    Calls,
    Daemon,
    FakeContainerd,
    FakeMove,
    FakeSystemd,
    make_host,
    opener,
)

TARGET = "/srv/new/root"
DROP_IN = f"/etc/systemd/system/{SERVICE}.d/50-relocator.conf"
LISTENING = f"/etc/systemd/system/{SOCKET}.d/50-relocator.conf"
CONTAINERD_TARGET = "/srv/new/containerd"
CONTAINERD_CONTENT = f'version = 2\nroot = "{CONTAINERD_ROOT}"\n[plugins]\n'.encode()
IMPORTED, NAMES = "/etc/containerd/opt.toml", f'path = "{CONTAINERD_ROOT}/opt"\n'.encode()
CONTENT = b'{\n\t"debug": true\n}\n'
JOURNAL = "var/lib/relocator"
# What is waited for does not come in a test, or is there at once.
SHORT = Patience(departure=0.3, ephemeral=0.3, mounts=0.3, socket=0.3, database=0.3, settling=0.3, between=0.01,
                 recovering=0.3, sick=0.3, pauses=(0.01, 0.01), listening=0.01, passes=0.01)  # fmt: skip
RULES = "/etc/selinux/targeted/contexts/files/file_contexts.subs"
OTHER_RULE, RULE = b"/srv/www /var/www\n", f"{TARGET} /var/lib/docker\n".encode()


def make_plan(content: bytes | None = CONTENT) -> Plan:
    after = daemon_json.with_root(content, TARGET, Setting(), CONFIG)
    folder = f"/etc/systemd/system/{SERVICE}.d"
    made = ("/etc/systemd", "/etc/systemd/system", folder)
    root = RootMove(
        kind=RootKind.DATA_ROOT,
        source=DEFAULT_ROOT,
        target=TARGET,
        links=False,
        created=("/srv/new", TARGET),
        size=1,
        entries=1,
        identity=(0, 0),
        born="",
        switch=FileEdit(CONFIG, content, after),
    )
    return Plan(
        direction=Direction.FORTH,
        roots=(root,),
        units=(SOCKET, SERVICE),
        started=(SOCKET, SERVICE),
        ordering=FileEdit(DROP_IN, None, ordering_drop_in(PurePosixPath(TARGET)), made),
        listening=(
            FileEdit(
                LISTENING, None, listening_drop_in(PurePosixPath(TARGET)), (str(PurePosixPath(LISTENING).parent),)
            ),
        ),
        dependents=(),
        engine_id="ID",
        bwlimit="",
        driver_named="overlay2",
        rules=(FileEdit(RULES, OTHER_RULE, OTHER_RULE + RULE),),
    )


def image_store() -> RootMove:
    """containerd's root, as a part of the plan."""
    folder = f"/etc/systemd/system/{CONTAINERD}.d"
    place = f"{folder}/50-relocator.conf"
    return RootMove(
        kind=RootKind.IMAGE_STORE,
        source=CONTAINERD_ROOT,
        target=CONTAINERD_TARGET,
        links=False,
        created=("/srv/new", CONTAINERD_TARGET),
        size=1,
        entries=1,
        identity=(0, 0),
        born="",
        switch=FileEdit(
            CONTAINERD_CONFIG,
            CONTAINERD_CONTENT,
            config_toml.with_root(CONTAINERD_CONTENT, CONTAINERD_TARGET, config_toml.SETTING, CONTAINERD_CONFIG),
            setting=Setting(Kind.TOML, "root", was=CONTAINERD_ROOT),
        ),
        follow=(FileEdit(IMPORTED, NAMES, NAMES.replace(CONTAINERD_ROOT.encode(), CONTAINERD_TARGET.encode()),
                         setting=Setting(Kind.TOML, "root")),),
        service=RootService(
            CONTAINERD, True, FileEdit(place, None, ordering_drop_in(PurePosixPath(CONTAINERD_TARGET)), (folder,))
        ),
    )  # fmt: skip


def with_first(plan: Plan, **facts: Any) -> Plan:
    """The same plan with other facts of its first root."""
    return replace(plan, roots=(replace(plan.first, **facts), *plan.roots[1:]))


def image_store_of(plan: Plan) -> tuple[RootMove, RootService]:
    """The root of containerd's that moves, and its service."""
    root = plan.root(RootKind.IMAGE_STORE)
    assert root is not None
    assert root.service is not None
    return root, root.service


def snapshot(root: Path) -> dict[str, Any]:
    """The host's files and directories, with modes and content, but for the journal."""
    found: dict[str, Any] = {}
    for folder, _folders, files in os.walk(root):
        for name in (*files, "."):
            place = Path(folder, name)
            inside = str(place.relative_to(root))
            if not inside.startswith(JOURNAL):
                found[inside] = (oct(place.lstat().st_mode), None if place.is_dir() else place.read_bytes())
    return found


@dataclass
class World:
    host: Host
    calls: Calls
    daemon: Daemon
    systemd: FakeSystemd
    journal: Journal
    move: FakeMove
    before: dict[str, Any]

    def work(self, use: Sequence[Step] | None = None, front: Process = GONE) -> ExitCode:
        return worker.work(self.move, self.journal, front, use or steps_of(self.move.plan))

    def serving_nobody(self) -> "World":
        """Containers by which nobody writes: so it can be gone back, whatever has run."""
        self.daemon.serves = False
        return self

    def unproven(self) -> None:
        """The engine misses an image on the target, and nobody has written there: the move is taken back."""
        images = dict(self.daemon.images)
        self.serving_nobody().daemon.forgets_images_on = TARGET
        start = self.daemon.start

        def start_with_its_images() -> None:
            self.daemon.images = dict(images)
            start()

        self.daemon.start = start_with_its_images  # type: ignore[method-assign]

    @property
    def context(self) -> Context:
        return Context(self.host, self.systemd, self.journal, self.move.patience)

    def waiting(self, **seconds: float) -> None:
        """From here on what is waited for has other times."""
        self.move = replace(self.move, patience=replace(self.move.patience, **seconds))  # type: ignore[arg-type]

    def traced(self, patch: pytest.MonkeyPatch, trace: Trace) -> None:
        """From here on the named instants of this world are told to `trace`."""
        host = replace(self.host, trace=trace)
        patch.setattr(self, "host", host)
        patch.setattr(self, "move", replace(self.move, host=host))

    def path(self, place: str) -> Path:
        return self.host.path(place)

    @property
    def outcome(self) -> dict[str, Any]:
        return self.move.run.outcome() or {}

    def events(self, event: str) -> list[str]:
        return [record["step"] for record in self.move.run.records() if record["event"] == event]

    @property
    def was_begun_on(self) -> bool:
        """Whether the engine was, or may have been, started on the copy."""
        return "start" in self.events("intent")

    def require_untouched(self) -> None:
        """Files as before, the engine up on the old root, nothing held; the copy is there if the engine was on it."""
        found = snapshot(self.host.root)
        kept = {place for place in found if place.startswith("srv/new")}
        assert self.was_begun_on is (f"{TARGET[1:]}/early" in kept)
        assert self.was_begun_on is (self.outcome["left"] in (STARTED_ON, NOT_RUN))
        assert self.before == {place: one for place, one in found.items() if not self.was_begun_on or place not in kept}
        assert self.daemon.up
        assert self.daemon.root == DEFAULT_ROOT


def make_world(root: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None = CONTENT) -> World:
    """A host whose engine runs three containers; the pre-copy is done, and then one more file appeared."""
    monkeypatch.setattr(whole, "BETWEEN", 0.01)
    calls, host = Calls(), make_host(root)
    daemon = Daemon(host, calls)
    monkeypatch.setattr(Engine, "opened", opener(daemon))
    monkeypatch.setattr(served, "starts", daemon.starts)
    if content is not None:
        host.path(CONFIG).write_bytes(content)
    host.path(RULES).parent.mkdir(parents=True)
    host.path(RULES).write_bytes(OTHER_RULE)
    for policy in ("no", "always", "unless-stopped"):
        daemon.add(policy, policy=policy)
    host.path(DEFAULT_ROOT).joinpath("early").write_text("early")
    before = snapshot(root)
    copytree(host.path(DEFAULT_ROOT), host.path(TARGET), copy_function=copy2)
    host.path(DEFAULT_ROOT).joinpath("late").write_text("late")
    before |= {key: one for key, one in snapshot(host.path(DEFAULT_ROOT)).items() if key == "late"}
    before[f"{DEFAULT_ROOT[1:]}/late"] = before.pop("late")
    Unfinished.begun(DEFAULT_ROOT, "ID").write(host.path(TARGET))
    systemd = FakeSystemd(host, calls, daemon)
    journal = Journal(host)
    journal.prepare()
    copied = Copied(frozenset(), 0.0, 0.0, identity(host.path(TARGET)))
    move = FakeMove(host, systemd, journal.begin(), make_plan(content), (copied,), frozenset(), patience=SHORT,
                    calls=calls)  # fmt: skip
    move.run.append(Event.HANDED_OVER, unit=handover.UNIT, clock_set=False)
    return World(host, calls, daemon, systemd, journal, move, before)


def save_for_a_worker(world: World, patch: pytest.MonkeyPatch) -> World:
    """The same, with what a later command or worker finds written down of it."""
    facts: dict[str, Any] = {"plan": to_json(world.move.plan), "copied": to_json(world.move.copied)}
    world.move.run.save_plan({**facts, "ours": [], "front": asdict(GONE)})
    patch.setattr(recovery, "our_containers", frozenset)
    return world


def make_held_world(root: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The same, where the operator is to say when."""
    world = make_world(root, monkeypatch)
    plan = replace(world.move.plan, holds=True)
    world = save_for_a_worker(replace(world, move=replace(world.move, plan=plan)), monkeypatch)
    world.move.run.append(Event.BEGUN, source=DEFAULT_ROOT, target=TARGET, hold=True)
    terms = hold.Terms(Request(PurePosixPath(TARGET), holds=True), {}, (2.0, 12.0))
    world.move.run.save_plan({**world.move.run.plan(), "hold": to_json(terms)})
    return world


def make_world_of_two(root: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The same with images in containerd, whose root moves along; what the worker needs is in its place."""
    world = make_world(root, monkeypatch)
    containerd = FakeContainerd(world.host)
    world.daemon.containerd = containerd
    world.systemd.states[CONTAINERD] = UnitState.ACTIVE
    monkeypatch.setattr(paired_switch, "works_on", containerd.works_on)
    world.path(CONTAINERD_CONFIG).parent.mkdir()
    world.path(CONTAINERD_CONFIG).write_bytes(CONTAINERD_CONTENT)
    world.path(IMPORTED).write_bytes(NAMES)
    for place in (DATABASE, f"{BLOBS}/sha256/1"):
        world.path(f"{CONTAINERD_ROOT}/{place}").parent.mkdir(parents=True)
        world.path(f"{CONTAINERD_ROOT}/{place}").write_text("early")
    (world.path("usr/bin") / "sh").touch(mode=0o755)
    before = snapshot(root)
    copytree(world.path(CONTAINERD_ROOT), world.path(CONTAINERD_TARGET), copy_function=copy2)
    Unfinished.begun(CONTAINERD_ROOT, "ID").write(world.path(CONTAINERD_TARGET))
    world.path(f"{CONTAINERD_ROOT}/late").write_text("late")
    copied = Copied(frozenset(), 0.0, 0.0, identity(world.path(CONTAINERD_TARGET)))
    plan = replace(world.move.plan, roots=(*world.move.plan.roots, image_store()), store="containerd")
    safety_net.spread(world.move.run, plan)
    move = replace(world.move, plan=plan, copied=(*world.move.copied, copied))
    return replace(world, move=move, before=before)


def make_world_alone(root: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The same, where containerd's root moves alone."""
    world = make_world_of_two(root, monkeypatch)
    rmtree(world.path(TARGET))
    rmtree(world.move.run.place / "back")
    waits = replace(world.move.plan.ordering, after=ordering_drop_in(PurePosixPath(CONTAINERD_TARGET), what=IMAGES))
    plan = replace(world.move.plan, roots=world.move.plan.roots[1:], stays={RootKind.DATA_ROOT: DEFAULT_ROOT}, rules=(),
                   ordering=waits)  # fmt: skip
    safety_net.spread(world.move.run, plan)
    return replace(world, move=replace(world.move, plan=plan, copied=world.move.copied[1:]))
