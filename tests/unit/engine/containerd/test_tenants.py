"""Others that run containers with the engine's containerd: seen, and ended if that was agreed to."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.console.errors import EngineError, ExitCode
from entrypoint.console.findings import Severity
from entrypoint.engine.containerd import tenants
from entrypoint.engine.containerd.tenants import Task
from entrypoint.host.disks.filesystem import Mount
from entrypoint.host.host import Host
from entrypoint.move import freeze
from entrypoint.plan import outline
from entrypoint.preflight import preflight
from entrypoint.preflight.checks.containerd.images import USERS
from tests.unit.support.good_facts import TWO, make, two
from tests.unit.support.world import image_store_of, make_world_of_two

STATE = "/run/containerd"
STUBBORN = "trap '' TERM; while :; do sleep 0.1; done"


@pytest.fixture
def shim(tmp_path: Path) -> Iterator[Callable[[str], int]]:
    """Starts a task below a process that is called as a shim is, and gives the task's process."""
    shims = []
    program = tmp_path / "containerd-shim-x"
    program.symlink_to("/bin/sh")

    def start(script: str) -> int:
        body = f"sh -c {script!r} & echo $!; wait" if "'" not in script else f'sh -c "{script}" & echo $!; wait'
        shims.append(subprocess.Popen([str(program), "-c", body], stdout=subprocess.PIPE, start_new_session=True))
        stdout = shims[-1].stdout
        assert stdout is not None
        return int(stdout.readline())

    yield start
    for one in shims:
        os.killpg(one.pid, signal.SIGKILL)
        one.communicate()


def add(host: Host, task: str, pid: int | None = None) -> None:
    bundle = host.path(f"{STATE}/{tenants.TASKS}/{task}")
    bundle.mkdir(parents=True)
    if pid is not None:
        (bundle / "init.pid").write_text(str(pid))


def test_others_are_seen_by_the_tasks_they_have(tmp_path: Path, shim: Callable[[str], int]) -> None:
    host, pid = Host(tmp_path), shim("sleep 60")
    for task in ("moby/a", "plugins.moby/p", "k8s.io/b"):
        add(host, task)
    add(host, "default/c", pid)
    add(host, "default/gone", os.getpid())  # a number that is another process's by now
    host.path(f"{STATE}/{tenants.TASKS}/buildkit").mkdir()
    found = tenants.tasks(host, STATE)
    assert found == (Task("default", "c", pid), Task("default", "gone", 0), Task("k8s.io", "b", 0))
    assert tenants.tasks(host, "/run/other") == ()
    own = ("default", "plugins.moby")  # --containerd-namespace=default
    assert [one.namespace for one in tenants.tasks(host, STATE, own)] == ["k8s.io", "moby"]


def test_a_task_is_told_to_end_and_killed_if_it_does_not(
    tmp_path: Path, shim: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "GRACE", 0.5)
    host = Host(tmp_path)
    for name, script in (("good", "sleep 60"), ("stubborn", STUBBORN)):
        add(host, f"default/{name}", shim(script))
    tenants.end(host, STATE)
    assert [one.pid for one in tenants.tasks(host, STATE)] == [0, 0]


def test_the_files_of_ended_tasks_are_unmounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def overlay(point: str, root: str) -> Mount:
        options = frozenset({"rw", f"upperdir={root}/snapshots/7/fs"})
        return Mount(PurePosixPath(point), "overlay", "overlay", "0:50", options)

    ours, own = f"{STATE}/{tenants.TASKS}/default/c/rootfs", f"{STATE}/{tenants.TASKS}/k8s.io/b/rootfs"
    table = (overlay(ours, "/srv/containerd"), overlay(own, "/elsewhere"), overlay("/mnt/x", "/srv/containerd"))
    monkeypatch.setattr(tenants, "mounts", lambda: table)
    ran: list[list[str]] = []
    monkeypatch.setattr(Host, "run", lambda _host, argv, **_options: ran.append(argv))
    tenants.unmount(Host(tmp_path), STATE, "/srv/containerd")
    assert ran == [["umount", "--", ours]]


def test_agreed_to_they_refuse_nothing_and_the_plan_says_so() -> None:
    facts = two(users=("default",))
    [refused] = preflight.check(facts)
    assert (refused.id, refused.severity) == (USERS, Severity.ERROR)
    assert not preflight.refuses(preflight.check(facts, (USERS,)))
    assert "end what others run with it" in "\n".join(outline.steps(make(TWO, accepted=frozenset({USERS}))))
    assert "others" not in "\n".join(outline.steps(make(TWO)))


def test_they_are_ended_when_the_engine_is_down_and_before_containerd_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world_of_two(tmp_path, monkeypatch)
    root, service = image_store_of(world.move.plan)
    root = replace(root, service=replace(service, ends_others=True))
    plan = replace(world.move.plan, roots=(world.move.plan.first, root))
    world = replace(world, move=replace(world.move, plan=plan))
    monkeypatch.setattr(tenants, "end", lambda *_: world.calls.record("tenants.end"))
    monkeypatch.setattr(tenants, "unmount", lambda *_: world.calls.record("tenants.unmount"))
    assert world.work() is ExitCode.DONE
    names = [call[:2] for call in world.calls.made if call[0] in ("stop", "tenants.end", "tenants.unmount")]
    assert names == [("stop", "docker.socket"), ("tenants.end",), ("stop", "containerd.service"), ("tenants.unmount",)]


def test_what_is_made_of_the_root_elsewhere_is_left_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world_of_two(tmp_path, monkeypatch)
    options = frozenset({"rw", "upperdir=/srv/containerd/snapshots/7/fs"})
    mount = Mount(PurePosixPath("/run/x/rootfs"), "overlay", "overlay", "0:50", options)
    monkeypatch.setattr(freeze, "mounts", lambda: (mount,))
    assert freeze.leftovers(world.move.plan) == ("/run/x/rootfs",)
    with pytest.raises(EngineError, match="mounts to go"):
        freeze.require_gone(world.move)
