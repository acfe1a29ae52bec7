"""Places that take more than a line: names that need quotes, remapped users, and a death at the commit point."""

from collections.abc import Sequence

import pytest

from tests.hosts.content import inventory
from tests.hosts.prepared import images
from tests.system.settings.test_settings import bullseye, forky, told, trixie
from tests.system.support.moving import ATTACHED, DISK, arm, await_worker, disarm, outcome, relocator
from tests.system.support.settings_bench import HELD, Bench, assert_moved, assert_refused, assert_same
from tests.system.support.settings_rows import CONFIG, ODD, PERCENT, PLACES, SOURCE, STORAGE, storage, write

pytestmark = pytest.mark.system

__all__ = ["bullseye", "forky", "trixie"]

REMAPPED = "100000.100000"
AS_ROOT = (*ATTACHED, "--userns=host")


def names() -> list[object]:
    """Every kind of place; the percent sign only where the engine can bear it."""
    return [
        pytest.param(suite, place, odd, marks=() if always and suite == "trixie" else pytest.mark.matrix)
        for suite, odd in (("trixie", ODD), ("forky", PERCENT))
        for place, (_, always) in PLACES.items()
    ]


@pytest.mark.parametrize(("suite", "place", "odd"), names())
def test_any_name_is_quoted_as_its_place_needs(
    request: pytest.FixtureRequest, suite: str, place: str, odd: Sequence[str]
) -> None:
    """To odd names, from one to another, and away again; systemd and dockerd read what was written."""
    bench: Bench = request.getfixturevalue(suite)
    bench.configure(PLACES[place][0], SOURCE)
    bench.host.run(["rm", "-rf", *odd])
    for target in (*odd, bench.next_target()):
        assert_moved(bench, target)
    told(18, place, suite, "moved")


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("100%h", "percent-in-name"),
        ("a\\b", "target-characters"),
        pytest.param("a:b", "target-characters", marks=pytest.mark.matrix),
        pytest.param("a,b", "target-characters", marks=pytest.mark.matrix),
    ],
)
def test_names_that_the_engine_cannot_bear_are_refused(trixie: Bench, name: str, finding: str) -> None:
    trixie.configure(PLACES["daemon.json"][0], SOURCE)
    assert_refused(trixie, finding, ("Choose a path without",), target=f"{DISK}/{name}")
    told(18, name, "trixie", f"refused: {finding}")


@pytest.mark.parametrize("suite", ["trixie", pytest.param("bullseye", marks=pytest.mark.matrix)])
def test_with_remapped_users_the_parent_is_moved(request: pytest.FixtureRequest, suite: str) -> None:
    bench: Bench = request.getfixturevalue(suite)
    users = """
        getent group dockremap || groupadd --system dockremap
        getent passwd dockremap || useradd --system --gid dockremap dockremap
        echo dockremap:100000:65536 >/etc/subuid; cp /etc/subuid /etc/subgid
    """
    script = f"rm -rf {SOURCE}; mv {HELD} {SOURCE}; {users}\n"
    config = f'{{"userns-remap": "default", "data-root": "{SOURCE}"}}\n'
    bench.configure(script + write(CONFIG, config), f"{SOURCE}/{REMAPPED}", real=SOURCE)
    with images(True) as wanted:
        for image in wanted:
            image.load(bench.host)
    bench.host.docker("run", "--detach", "--restart=always", "--volume=kept:/data", "busybox", "sleep", "1000000")
    bench.host.run(f"mkdir -p {DISK}/closed; chmod 700 {DISK}/closed")
    closed = f"{DISK}/closed"
    assert_refused(
        bench, "target-not-traversable", (f"chmod o+x {closed}",), target=f"{closed}/new/docker", given=AS_ROOT
    )
    target = bench.next_target()
    assert_moved(bench, target, within=f"/{REMAPPED}", given=AS_ROOT)
    held = inventory(bench.host)
    back = relocator(bench.host, "rollback", "--yes", given=AS_ROOT)
    assert back.returncode == 10, back.stdout + back.stderr
    await_worker(bench.host)
    bench.host.wait_docker()
    bench.root = SOURCE
    assert_same(held, inventory(bench.host), f"{SOURCE}/{REMAPPED}")
    told(13, "userns-remap", suite, "moved; refused below a closed directory")


@pytest.mark.parametrize("point", ["switch.written", pytest.param("switch.done", marks=pytest.mark.matrix)])
@pytest.mark.parametrize("place", ["a drop-in", pytest.param("the vendor's unit", marks=pytest.mark.matrix)])
def test_killed_at_the_commit_point_in_a_unit_the_engine_is_back_on_the_new_root(
    trixie: Bench, place: str, point: str
) -> None:
    """systemd has not read the drop-in yet when the program dies; the net makes it, before it starts the engine."""
    trixie.configure(PLACES[place][0], SOURCE)
    host, target = trixie.host, trixie.next_target()
    held = inventory(host)
    arm(host, f"{point} kill")
    assert relocator(host, target, "--same-disk").returncode == 10
    await_worker(host)
    host.wait_docker()
    disarm(host, point)
    ended = outcome(host)
    assert ended["state"] == "committed", ended
    trixie.root = target
    assert_same(held, inventory(host), target)
    assert host.run(["systemctl", "show", "docker.service", "-p", "NeedDaemonReload", "--value"]).stdout == "no\n"


def test_a_failure_after_the_switch_in_a_unit_leaves_every_file_as_it_was(trixie: Bench) -> None:
    trixie.configure(storage(f'--data-root="{SOURCE}"'), SOURCE)
    host = trixie.host
    held, text = inventory(host), host.path(STORAGE).read_bytes()
    arm(host, "start.lifted fail")
    assert relocator(host, trixie.next_target(), "--same-disk").returncode == 10
    ended = outcome(host)
    disarm(host, "start.lifted")
    assert ended["state"] == "rolled-back", ended
    assert_same(held, inventory(host), SOURCE)
    assert host.path(STORAGE).read_bytes() == text
    assert host.run(f"ls {STORAGE.rpartition('/')[0]}").stdout.split() == ["docker-storage.conf"]


@pytest.mark.matrix
@pytest.mark.parametrize("place", ["the vendor's unit", "a drop-in", "an EnvironmentFile"])
def test_going_back_after_a_good_move_puts_the_place_back(trixie: Bench, place: str) -> None:
    trixie.configure(PLACES[place][0], SOURCE)
    host = trixie.host
    files = f"ls -R {STORAGE.rpartition('/')[0]} || :; cat {STORAGE} /etc/default/docker || :"
    held, was = inventory(host), host.run(files).stdout
    assert_moved(trixie, trixie.next_target())
    assert host.run(files).stdout != was
    assert relocator(host, "rollback", "--yes").returncode == 10
    ended = outcome(host)
    assert (ended["state"], ended["direction"]) == ("committed", "back"), ended
    trixie.root = SOURCE
    assert_same(held, inventory(host), SOURCE)
    assert host.run(files).stdout == was
