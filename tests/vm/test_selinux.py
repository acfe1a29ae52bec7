"""A host that enforces, with Debian's policy: a move carries the labels, and the usual recipe does not."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.hosts.content import differences, inventory
from tests.system.support.moving import (
    DISK,
    MOVED,
    SOURCE,
    TARGET,
    assert_nothing_left,
    await_worker,
    move,
    outcome,
    relocator,
)
from tests.vm.guest import Guest, guest
from tests.vm.mounting import await_engine, mount_by_uuid

pytestmark = [pytest.mark.system, pytest.mark.matrix, pytest.mark.timeout(3600)]

DAEMON_JSON = "/etc/docker/daemon.json"
ENABLED = '{"selinux-enabled": true}\n'
RULES = "/etc/selinux/default/contexts/files/file_contexts.subs"
BY_HAND = "/srv/docker"
WAY = re.compile(r"^ +(printf .* semodule --install=relocator\.cil)$", re.MULTILINE)
CONTAINER = re.compile(r"system_u:system_r:container_t:s0:c\d+,c\d+")
CATEGORIES = re.compile(r":container_file_t:s0:c\d+,c\d+$")
LABELS = "cd {} && find volumes containers image -printf '%p %Z\\n' | sort"
WRITES = "trap 'exit 0' TERM; while :; do echo beat >>/beats/log; sleep 1; done"


@pytest.fixture(scope="module")
def machine() -> Iterator[Guest]:
    with guest("se", selinux=True, files={DAEMON_JSON: ENABLED}) as booted:
        booted.wait_docker()
        assert booted.run(["getenforce"]).stdout == "Enforcing\n"
        mount_by_uuid(booted)
        booted.docker("run", "-d", "--name=web", "--restart=always", "-v=beats:/beats", "busybox", "sh", "-c", WRITES)
        booted.docker("run", "--name=once", "-v=kept:/kept", "busybox", "touch", "/kept/file")
        # After a start a file in a named volume had lost its categories, very likely by the engine's own relabelling.
        booted.docker("restart", "web")
        yield booted


def denials(machine: Guest) -> str:
    return machine.run(
        "journalctl --no-pager --boot _TRANSPORT=audit + _TRANSPORT=kernel | grep -E 'avc: +denied'"
    ).stdout


def restart(machine: Guest, root: str = "") -> int:
    settings = json.loads(ENABLED) | ({"data-root": root} if root else {})
    machine.write(DAEMON_JSON, json.dumps(settings))
    machine.run(["systemctl", "reset-failed", "docker.service", "docker.socket"], check=False)
    return machine.run(["systemctl", "restart", "docker.service"], check=False).returncode


def process_label(machine: Guest, name: str) -> str:
    """As the kernel has it, not the engine."""
    pid = machine.docker("inspect", "--format", "{{.State.Pid}}", name)
    return machine.run(["cat", f"/proc/{pid}/attr/current"]).stdout.strip("\0\n")


def test_without_leave_nothing_is_begun(machine: Guest) -> None:
    """And the line in the refusal, taken as it is, gives leave."""
    refused = relocator(machine, TARGET)
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "system status" in refused.stderr
    assert machine.run(["ls", "-A", DISK]).stdout.split() == ["lost+found"]
    assert machine.run("ls /var/lib/relocator", check=False).returncode != 0
    way = WAY.search(refused.stderr)
    assert way is not None, refused.stderr
    machine.run(f"cd /root; {way[1]}")
    assert relocator(machine, "check", TARGET).returncode == 0


def test_a_move_keeps_the_categories_and_a_rollback_takes_the_rule_out(machine: Guest) -> None:
    was, label = inventory(machine), process_label(machine, "web")
    assert CONTAINER.fullmatch(label)
    told = move(machine)
    assert (told["state"], told["exit_code"]) == ("committed", 0), f"{told}\n{denials(machine)}"
    assert differences(was, inventory(machine), ignore=MOVED) == []
    assert process_label(machine, "web") == label
    assert machine.run(["cat", RULES]).stdout == f"{TARGET} {SOURCE}\n"
    aimed = machine.run(["matchpathcon", "-n", SOURCE, TARGET]).stdout.split()
    assert aimed == ["system_u:object_r:container_var_lib_t:s0"] * 2
    old, new = labels(machine, SOURCE), labels(machine, TARGET)
    assert {path: (old[path], new.get(path)) for path in old if old[path] != new.get(path)} == {}
    assert CATEGORIES.search(new["volumes/kept/_data/file"]), new
    machine.reboot()
    assert machine.run(["getenforce"]).stdout == "Enforcing\n"
    await_engine(machine, TARGET)
    assert process_label(machine, "web") == label
    assert machine.docker("run", "--rm", "-v=beats:/beats", "busybox", "tail", "-n1", "/beats/log") == "beat"
    handed_over = relocator(machine, "rollback", "--yes")
    assert handed_over.returncode == 10, handed_over.stdout + handed_over.stderr
    await_worker(machine)
    told = outcome(machine)
    assert told["state"] == "committed", told
    assert inventory(machine).engine.root == SOURCE
    assert process_label(machine, "web") == label
    assert machine.run(["cat", RULES], check=False).stdout == ""
    assert_nothing_left(machine)


def test_the_usual_recipe_leaves_no_engine(machine: Guest) -> None:
    """Copied without labels; a copy with them, in the test before, started."""
    machine.run(f"systemctl stop docker.socket docker.service; cp -r {SOURCE} {BY_HAND}; systemctl start docker.socket")
    try:
        assert restart(machine, BY_HAND) != 0
        assert re.search(r"denied +{ setattr } .*dockerd_t.* tcontext=\S+:var_t:", denials(machine)), denials(machine)
    finally:
        back = restart(machine)
    assert back == 0, machine.journal("docker.service")


def labels(machine: Guest, root: str) -> dict[str, str]:
    """Of what the engine does not make anew at each start."""
    listed = machine.run(LABELS.format(root)).stdout.splitlines()
    return dict(line.rsplit(" ", 1) for line in listed if not line.startswith("volumes/backingFs"))
