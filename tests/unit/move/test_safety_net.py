"""The safety net: its lines, and its script run by a real shell with a systemctl that keeps state."""

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from entrypoint.host.host import Host
from entrypoint.host.services.units import Command
from entrypoint.journal.record import Run
from entrypoint.move import safety_net
from entrypoint.plan.plan import Plan
from entrypoint.settings.file_edit import FileEdit
from tests.unit.support.fakes import SERVICE, SOCKET, make_host
from tests.unit.support.world import make_plan, with_first

# Whatever is asked is noted; the engine comes up unless the configuration names the new root.
SYSTEMCTL = """#!/bin/sh
echo "$*" >>{calls}
case $1 in
is-system-running) cat {state} 2>/dev/null ;;
is-active) [ -e {up} ] ;;
start) if grep -q new {switch} 2>/dev/null; then exit 1; fi; touch {up} ;;
stop) rm -f {up} ;;
esac
"""
BACK = ["stop docker.socket docker.service", "daemon-reload", "reset-failed docker.socket docker.service",
        "start docker.socket docker.service"]  # fmt: skip


@dataclass
class Net:
    """A net that is spread on a host whose configuration names the new root."""

    root: Path
    run: Run
    plan: Plan

    @property
    def switch(self) -> Path:
        return Path(self.plan.first.switch.path)

    @property
    def ordering(self) -> Path:
        return Path(self.plan.ordering.path)

    def come_up(self) -> None:
        (self.root / "up").touch()

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        script = ["sh", f"{self.run.place}/back/back.sh", *arguments]
        path = f"{self.root}/bin:{os.environ['PATH']}"
        return subprocess.run(script, env={"PATH": path}, capture_output=True, text=True, check=False)

    @property
    def asked(self) -> list[str]:
        """What systemctl was asked to do, without the questions."""
        calls = self.root / "calls"
        told = calls.read_text().splitlines() if calls.exists() else []
        return [call for call in told if not call.startswith("is-")]


def make_net(root: Path, monkeypatch: pytest.MonkeyPatch, switch_before: bytes | None = b"old\n") -> Net:
    """`root` has a space in its name, as a path may."""
    monkeypatch.setattr(safety_net, "PLACE", str(root))
    (root / "bin").mkdir(parents=True)
    (root / "runs/000001").mkdir(parents=True)
    switch = FileEdit(str(root / "daemon.json"), switch_before, b'{"data-root": "/new"}')
    ordering = FileEdit(str(root / "50-relocator.conf"), None, b"[Unit]\n")
    files = {"calls": root / "calls", "up": root / "up", "state": root / "state", "switch": switch.path}
    program = root / "bin/systemctl"
    program.write_text(SYSTEMCTL.format(**{name: f"'{place}'" for name, place in files.items()}))
    program.chmod(0o755)
    plan = with_first(make_plan(), target=str(root / "the target"), switch=switch)
    plan = replace(plan, ordering=ordering)
    made = Net(root, Run(root / "runs/000001"), plan)
    safety_net.spread(made.run, made.plan)
    made.switch.write_bytes(switch.after or b"")
    made.switch.chmod(0o640)
    made.ordering.write_bytes(ordering.after or b"")
    return made


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
def test_nothing_is_said_against_the_script(tmp_path: Path) -> None:
    text = safety_net.script(Run(tmp_path / "000001"), make_plan())
    done = subprocess.run(["shellcheck", "--shell=sh", "-"], input=text, capture_output=True, text=True, check=False)
    assert done.stdout == ""


@pytest.fixture
def spread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Net:
    return make_net(tmp_path / "a host", monkeypatch)


def test_an_engine_that_does_not_come_up_gets_its_old_configuration_back(spread: Net) -> None:
    ended = spread()
    assert (ended.returncode, ended.stderr) == (0, "")
    assert spread.switch.read_bytes() == b"old\n"
    assert oct(spread.switch.stat().st_mode) == "0o100640"
    assert not spread.ordering.exists()
    assert spread.asked == BACK
    assert not list(spread.root.glob("*.relocator"))


def test_a_file_that_was_not_there_is_gone_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = make_net(tmp_path, monkeypatch, switch_before=None)
    assert bare().returncode == 0
    assert not bare.switch.exists()


def test_a_file_that_is_gone_meanwhile_is_there_again(spread: Net) -> None:
    spread.switch.unlink()
    spread.plan = with_first(spread.plan, switch=replace(spread.plan.first.switch, after=None))
    (spread.run.place / "back/switch.after").unlink()
    assert spread().returncode == 0
    assert spread.switch.read_bytes() == b"old\n"


def test_an_engine_that_is_up_is_left_alone(spread: Net) -> None:
    spread.come_up()
    assert spread().returncode == 0
    assert spread.switch.read_bytes() == spread.plan.first.switch.after
    assert spread.asked == []


def test_by_hand_it_goes_back_whether_the_engine_is_up_or_not(spread: Net) -> None:
    spread.come_up()
    assert spread("now").returncode == 0
    assert spread.switch.read_bytes() == b"old\n"
    assert spread.asked == BACK


def started(spread: Net, container: str, when: str, labels: str = "{}") -> None:
    place = Path(spread.plan.first.target, "containers", container, "config.v2.json")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(
        f'{{"State":{{"Running":true,"StartedAt":"{when}","Health":null}},"Config":{{"Labels":{labels}}}}}'
    )


OURS = '{"a":"b","org.opencontainers.image.title":"relocator"}'


@pytest.mark.parametrize(
    ("then", "now", "labels", "served"),
    [
        ("a 2024-01-01T00:00:00Z\nb 1\n", "2024-01-01T00:00:00Z", "{}", False),
        ("b 1\na 2024-01-01T00:00:00Z\n", "2024-01-01T00:00:01Z", "{}", True),
        ("", "0001-01-01T00:00:00Z", "{}", False),
        ("", "2024-01-01T00:00:00Z", "{}", True),
        ("", "2024-01-01T00:00:00Z", OURS, False),
        (None, "2024-01-01T00:00:00Z", "{}", False),
    ],
)
def test_nothing_is_taken_back_by_itself_once_a_container_has_run(
    spread: Net, then: str | None, now: str, labels: str, served: bool
) -> None:
    if then is not None:
        (spread.run.place / "back/starts").write_text(then)
    started(spread, "a", now, labels)
    ended = spread()
    assert (ended.returncode, "is only there" in ended.stderr) == ((1, True) if served else (0, False))
    assert (spread.switch.read_bytes() == b"old\n") is not served
    assert spread("now").returncode == 0
    assert spread.switch.read_bytes() == b"old\n"


@pytest.mark.parametrize(
    ("then", "is_served"),
    [("containers 1700000000.5\n", False), ("a 1\ncontainers 1600000000.5\n", True), ("a 1\n", False),
     ("containers \n", False)],
)  # fmt: skip
def test_one_with_rm_has_left_the_time_of_the_directory(spread: Net, then: str, is_served: bool) -> None:
    place = Path(spread.plan.first.target, "containers")
    place.mkdir(parents=True)
    os.utime(place, (0, 1_700_000_000.25))
    (spread.run.place / "back/starts").write_text(then)
    assert (spread().returncode, spread.switch.read_bytes() != b"old\n") == (int(is_served), is_served)


def test_what_the_engine_does_not_start_by_itself_is_started(spread: Net) -> None:
    docker = spread.root / "bin/docker"
    docker.write_text(f"#!/bin/sh\necho \"$*\" >>'{spread.root}/docker'\n")
    docker.chmod(0o755)
    (spread.run.place / "back/ran").write_text("start a\nstart b\npause b\n")
    assert spread("now").returncode == 0
    assert (spread.root / "docker").read_text() == "start a\nstart b\npause b\n"


def test_a_host_that_goes_down_is_left_to_its_next_boot(spread: Net) -> None:
    (spread.root / "state").write_text("stopping\n")
    assert spread().returncode == 0
    assert spread.switch.read_bytes() == spread.plan.first.switch.after
    assert spread.asked == []


def test_it_can_be_run_again(spread: Net) -> None:
    spread("now")
    assert spread("now").returncode == 0
    assert spread.switch.read_bytes() == b"old\n"


def test_what_somebody_else_has_written_is_left_and_told(spread: Net) -> None:
    spread.switch.write_bytes(b"new, by hand")
    ended = spread()
    assert ended.returncode != 0
    assert f"{spread.switch} was changed by somebody else" in ended.stderr
    assert spread.switch.read_bytes() == b"new, by hand"
    assert spread.ordering.exists()  # it belongs to the root that is configured
    assert spread.asked[-1] == "start docker.socket docker.service"


def test_once_a_run_has_ended_well_nothing_is_put_back(spread: Net) -> None:
    safety_net.put_away(spread.run)
    safety_net.put_away(spread.run)
    assert not (spread.run.place / "back").exists()


def test_a_net_that_is_taken_away_under_its_script_does_nothing(spread: Net) -> None:
    spread.run.place.joinpath("back/back.sh").rename(spread.root / "back.sh")
    safety_net.put_away(spread.run)
    spread.run.place.joinpath("kept").mkdir()
    ended = subprocess.run(
        ["sh", spread.root / "back.sh"], env={"PATH": f"{spread.root}/bin:/usr/bin:/bin"}, check=False
    )
    assert ended.returncode == 0
    assert spread.asked == []


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return make_host(tmp_path)


def lines(host: Host, **changes: tuple[str, ...] | bool) -> list[str]:
    found = safety_net.lines(host, Run(Path("000042")), replace(make_plan(), **changes))  # type: ignore[arg-type]
    assert all(isinstance(line, Command) and line.ignore_failure for line in found)
    return [" ".join(line.argv) for line in found]


HOLDS = (
    "/run/relocator/hold /run/systemd/system/docker.socket.d/00-relocator-hold.conf "
    "/run/systemd/system/docker.service.d/00-relocator-hold.conf"
)
BACK_SH = "/var/lib/relocator/runs/000042/back/back.sh"
LINES = [
    f"/usr/bin/rm -f {HOLDS}",
    f"/usr/bin/systemctl reset-failed {SOCKET} {SERVICE}",
    f"/usr/bin/systemctl start {SOCKET} {SERVICE}",
    f"/usr/bin/sh -c if [ -e {BACK_SH} ]; then exec /usr/bin/sh {BACK_SH}; fi",
    "/usr/bin/systemctl daemon-reload",
]


def test_the_lines_lift_the_hold_start_the_engine_and_see_that_it_came_up(host: Host) -> None:
    assert lines(host) == LINES


def test_what_did_not_run_is_not_started(host: Host) -> None:
    assert lines(host, started=()) == [*LINES[:2], *LINES[3:]]
    assert lines(host, started=(SERVICE,))[2] == f"/usr/bin/systemctl start {SERVICE}"


def test_of_a_run_that_is_held_nothing_is_started_before_it_goes(host: Host, tmp_path: Path) -> None:
    """Others stop and start units meanwhile, for days; then it is what ran when it went."""
    going = "/var/lib/relocator/runs/000042/going.sh"
    made = lines(host, holds=True, dependents=("a.service",))
    assert made == [LINES[0], f"/usr/bin/sh -c if [ -e {going} ]; then exec /usr/bin/sh {going}; fi", LINES[4]]
    run = Run(tmp_path / "000042")
    run.place.mkdir()
    safety_net.arm(host, run, replace(make_plan(), holds=True, dependents=("b.service",)))
    told = (run.place / safety_net.GOING).read_text().splitlines()
    assert told[1:3] == LINES[1:3]
    assert told[-1] == "/usr/bin/systemctl start --no-block b.service"
    assert (run.place / "back/back.sh").exists()


def test_one_of_several_managers_is_not_taken_back_by_the_net(host: Host) -> None:
    assert lines(host, one_of_managers=True) == [*LINES[:3], LINES[4]]


def test_what_stops_along_is_started_without_being_waited_for(host: Host) -> None:
    start = "/usr/bin/systemctl start --no-block a.service b.service"
    assert lines(host, dependents=("a.service", "b.service")) == [*LINES[:4], start, LINES[4]]
    assert lines(host, dependents=("a.service",), awaited=("b.service",)) == [*LINES[:4], start, LINES[4]]
