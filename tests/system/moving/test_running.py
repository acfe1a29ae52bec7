"""What runs, and what makes it run on: live-restore, `--rm`, containers that look into the root, health checks."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import DAEMON_JSON, HEALTHY, Content, differences, inventory, populate
from tests.system.support.moving import (
    DISK,
    MOVED,
    SOURCE,
    TARGET,
    UNIT,
    Before,
    assert_committed,
    assert_nothing_left,
    assert_untouched_since,
    assert_writes_survived,
    before,
    frozen_at,
    move,
    outcome,
    read,
    relocator,
)
from tests.system.support.surviving import stand_again

pytestmark = pytest.mark.system

SLEEP = ("--detach", "--stop-signal", "KILL")


@dataclass
class Living:
    """A host with live-restore, a job with `--rm`, and a container that looks into the data root."""

    host: Host
    content: Content
    was: Before


@pytest.fixture(scope="module", params=["trixie", pytest.param("bookworm", marks=pytest.mark.matrix)])
def living(request: pytest.FixtureRequest) -> Iterator[Living]:
    with Disk("6G", "ext4") as disk, boot(request.param, name="living", disks={DISK: disk}) as host:
        host.write(DAEMON_JSON, json.dumps(json.loads(read(host, DAEMON_JSON) or "{}") | {"live-restore": True}))
        content = populate(host)
        logs = f"{SOURCE}/containers:/logs:ro"
        host.docker("run", *SLEEP, "--name", "promtail", "--volume", logs, "busybox", "sleep", "99999")
        was = before(host)
        host.docker("run", *SLEEP, "--rm", "--name", "backup", "busybox", "sleep", "99999")
        yield Living(host, content, was)


def test_containers_that_would_be_removed_are_named_and_refuse(living: Living) -> None:
    for verb in ("check", "run"):
        refused = relocator(living.host, verb, TARGET)
        assert refused.returncode == 3, refused.stdout + refused.stderr
        assert "[ephemeral-containers]" in refused.stderr
        assert "backup" in refused.stderr
        assert "[live-restore" not in refused.stderr
    assert not living.host.path(TARGET).exists()
    assert living.host.docker("inspect", "--format", "{{.State.Status}}", "backup") == "running"


def test_who_uses_a_path_in_the_root_is_told_where_to_look(living: Living) -> None:
    planned = relocator(living.host, "plan", "--remove-ephemeral", TARGET)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    events = [json.loads(line) for line in planned.stdout.splitlines()]
    [bound] = [event for event in events if event.get("id") == "bound-into-root"]
    assert f"promtail: {SOURCE}/containers." in bound["detail"]
    assert f"{TARGET}/containers" in bound["remedy"]


def test_with_live_restore_by_key_everything_is_moved_and_the_setting_stays(living: Living) -> None:
    host = living.host
    told = move(host, TARGET, "--remove-ephemeral")
    assert host.docker("inspect", "--format", "{{.State.Health.Status}}", HEALTHY) == "healthy"
    assert_committed(host, told, living.was)
    assert_writes_survived(host, SOURCE, TARGET, living.content)
    require_live_restore_and_nothing_on(host, SOURCE)
    assert_untouched_since(host, SOURCE, frozen_at(host))
    assert "backup" not in inventory(host).containers
    for place in host.path(f"{TARGET}/containers").glob("*/config.v2.json"):
        stored = json.loads(place.read_text())
        by_hand = stored["Name"].lstrip("/").startswith("stopped-")
        assert (stored["HasBeenManuallyStopped"] and not by_hand) is False, stored["Name"]


def test_with_live_restore_by_flag_the_way_back_is_the_same(living: Living) -> None:
    host = living.host
    text = read(host, DAEMON_JSON)
    without = {key: value for key, value in json.loads(text).items() if key != "live-restore"}
    host.write(DAEMON_JSON, json.dumps(without))
    host.write("/etc/default/docker", "DOCKER_OPTS=--live-restore\n")
    host.run("systemctl reset-failed docker.service; systemctl restart docker.service")
    host.wait_docker()
    stand_again(host, living.was.inventory)
    assert relocator(host, "rollback", "--yes").returncode == 10
    told = outcome(host)
    assert told["state"] == "committed", f"{told}\n{host.journal(UNIT)}"
    now = inventory(host)
    assert now.engine.root == SOURCE
    assert differences(living.was.inventory, now, ignore=MOVED) == []
    require_live_restore_and_nothing_on(host, TARGET)
    assert_nothing_left(host)


def require_live_restore_and_nothing_on(host: Host, root: str) -> None:
    assert host.docker("info", "--format", "{{.LiveRestoreEnabled}}") == "true"
    assert f" {root}/" not in host.run(["cat", "/proc/1/mountinfo"]).stdout
