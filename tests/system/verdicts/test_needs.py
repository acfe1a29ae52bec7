"""What a running container could not be started again with is told before, and whose it is; and where the engine is
now, after somebody has changed that."""

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.content import DAEMON_JSON
from tests.system.moving.test_usual_recipes import configure, start, stop
from tests.system.support.moving import DISK, SOURCE, TARGET, UNIT, move, outcome, relocator
from tests.system.support.shop import moving

pytestmark = pytest.mark.system

SLEEP = ("busybox", "sleep", "9999")
OWNING = """\
[Service]
ExecStartPre=-/usr/bin/docker rm --force app
ExecStart=/usr/bin/docker run --name app --stop-signal=KILL busybox sleep 9999
Restart=always
"""
# What is taken away from each container while it runs, and what is said of it.
TAKEN = {
    "zigbee": (("--device", "/dev/ttyX"), "rm /dev/ttyX", "the device /dev/ttyX is gone"),
    "strict": (("--mount", "type=bind,src=/srv/strict,dst=/there"), "rmdir /srv/strict", "/srv/strict, which it"),
    "loose": (("-v", "/srv/loose:/etc/there"), "rm /srv/loose", "the engine makes an empty directory there"),
    "turned": (("-v", "/srv/turned:/etc/there"), "rm /srv/turned; mkdir /srv/turned", "is a directory now and was"),
    "bound": (("-v", "bound:/there"), "rmdir /srv/bound", "/srv/bound, which its volume bound mounts, is gone"),
    "sharing": (("--network", "container:base"), "docker rm --force base", "whose network namespace it shares, is"),
    "taken": (("-p", "127.0.0.1:8089:80"), "pkill -f '[d]ocker-proxy.* 8089 '; systemd-run --unit=foreign "
              "systemd-socket-activate -l 127.0.0.1:8089 /bin/cat", "its port 8089/tcp is held by"),
    "run": (("--runtime", "other"), "rm /usr/local/bin/other", "its runtime other is gone (/usr/local/bin/other)"),
    "lan": (("--network", "lan"), "ip link delete eth9", "the interface eth9, on which its network lan is, is gone"),
    "served": (("-p", "127.0.0.1:8088:80"), "", ""),
    "well": (("-v", "/srv:/srv", "--device", "/dev/null", "--network", "well"), "", ""),
}  # fmt: skip
SETTINGS = {"runtimes": {"other": {"path": "/usr/local/bin/other"}}}
AGENTS = "com.hashicorp.nomad.alloc_id=1"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    files = {DAEMON_JSON: json.dumps(SETTINGS)}
    with Disk("4G") as disk, boot(name="needs", disks={DISK: disk}, files=files) as host:
        host.run("ip link add eth9 type veth peer name eth10; ip link set eth9 up")
        host.run("cp $(command -v runc) /usr/local/bin/other")
        host.docker("network", "create", "--driver=macvlan", "--opt=parent=eth9", "lan")
        host.docker("network", "create", "well")
        host.write("/etc/systemd/system/app.service", OWNING)
        host.run("systemctl daemon-reload; systemctl start app.service")
        host.run("mknod /dev/ttyX c 1 3; mkdir /srv/strict /srv/bound; touch /srv/loose /srv/turned")
        host.docker("volume", "create", "--opt=type=none", "--opt=o=bind", "--opt=device=/srv/bound", "bound")
        host.docker("run", "-d", "--name", "base", "--stop-signal=KILL", *SLEEP)
        host.docker("run", "-d", "--name", "task", "--label", AGENTS, "--stop-signal=KILL", *SLEEP)
        for name, (options, _taking, _said) in TAKEN.items():
            host.docker("run", "-d", "--name", name, "--stop-signal=KILL", *options, *SLEEP)
        for _options, taking, _said in TAKEN.values():
            host.run(taking or "true")
        yield host


def findings(told: "subprocess.CompletedProcess[str]", id: str) -> list[str]:
    lines = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
    return [f"{line['title']} {line['detail']} {line['remedy']}" for line in lines if line.get("id") == id]


@pytest.mark.parametrize("verb", ["check", "plan"])
def test_what_is_gone_by_now_and_who_owns_what_is_told_before(host: Host, verb: str) -> None:
    told = relocator(host, verb, TARGET)
    assert told.returncode == 0, told.stdout + told.stderr
    found = findings(told, "cannot-restart")
    for name, (_options, _taking, said) in TAKEN.items():
        assert any(f"container {name} " in one and said.lower() in one.lower() for one in found) is bool(said), (
            f"{name}: {found}"
        )
    (owned,) = findings(told, "owned-elsewhere")
    assert "app to app.service, task to Nomad." in owned
    assert "may give up while it is away: app.service" in owned


def test_what_is_told_is_what_the_engine_refuses(host: Host) -> None:
    """Each of them by itself: only the source of a `-v` is made anew, and is no file then."""
    for name, (_options, _taking, said) in TAKEN.items():
        host.docker("stop", "--time=0", name)
        started = host.run(["docker", "start", name], check=False)
        assert (started.returncode != 0) is bool(said), f"{name}: {started.stderr}"
    host.docker("rm", "--force", *TAKEN)
    host.run("systemctl stop app.service; docker rm --force app || true")


def test_what_could_go_is_told_with_commands_that_remove_it(host: Host) -> None:
    filling = "head -c 70m /dev/urandom >/big"
    host.docker("run", "--name", "big", "busybox", "sh", "-c", f"{filling}; head -c 70m /dev/zero | tr '\\0' a")
    host.docker("commit", "big", "big:1")
    host.docker("run", "--name", "other", "busybox", "sh", "-c", filling)
    host.docker("commit", "other")
    (told,) = findings(relocator(host, "check", TARGET), "much-unneeded")
    by_what = dict(re.findall(r"[;:] ([^;(]+) [0-9.]+ MiB \((.*?)\)(?=[;.])", told))
    assert set(by_what) == {"images without a name", "images that no container uses", "the log of big"}, told
    host.run(by_what["images without a name"] + " --force")
    host.run(by_what["images that no container uses"].replace("NAME", "big:1"))
    host.run(by_what["the log of big"])
    assert findings(relocator(host, "check", TARGET), "much-unneeded") == []
    host.docker("rm", "big", "other")


def test_the_status_is_of_now(host: Host) -> None:
    done = move(host)
    said = f"{done}\n{host.journal(UNIT)}"
    assert (done["state"], done["exit_code"], done["present"]) == ("committed", 0, None), said
    configure(host, **{"data-root": SOURCE})  # as a tool does that keeps files as they were
    there = relocator(host, TARGET)
    assert (there.returncode, "[configured-root-differs]" in there.stderr) == (3, True), there.stdout + there.stderr
    assert "already_there" not in there.stdout
    stop(host)
    start(host)
    told = relocator(host, "status")
    assert told.returncode == 6, told.stdout + told.stderr
    assert f"The engine runs on {SOURCE} now. Run 000001 had left it on {TARGET}" in told.stdout
    assert json.loads(relocator(host, "status", "--json").stdout)["present"]["remedy"]
    assert "already_there" not in relocator(host, "check", TARGET).stdout
    configure(host, **{"data-root": TARGET})
    stop(host)
    host.run(["rm", f"{TARGET}/engine-id"])
    start(host)
    for words in ((TARGET,), ("check", TARGET), ("status",)):
        told = relocator(host, *words)
        assert told.returncode == 6, told.stdout + told.stderr
        assert f"The engine on {TARGET} is another one now" in told.stdout


def test_what_one_with_rm_has_written_is_not_given_up(host: Host) -> None:
    """It has left nothing of itself but its write, and the proof of the new root fails after it."""
    target = f"{DISK}/other"
    for volume in ("written", "broken"):
        host.docker("volume", "create", volume)
    with moving(host, target, "verify.intended"):
        host.docker("run", "--rm", "-v", "written:/data", "busybox", "sh", "-c", "echo 1 >/data/one && sync")
        host.run(f"rm -r {target}/volumes/broken")
    told = outcome(host)
    assert (told["state"], told["exit_code"]) == ("moved", 6), f"{told}\n{host.journal(UNIT)}"
    assert "volumes/broken" in "\n".join(told["amiss"])
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == target
    assert host.path(f"{target}/volumes/written/_data/one").read_text() == "1\n"


def test_a_network_that_the_engine_has_lost_is_told_before(host: Host) -> None:
    """As where somebody has put back older files of its networks, while a container ran on with live-restore."""
    root = host.docker("info", "--format", "{{.DockerRootDir}}")
    configure(host, **{"live-restore": True})
    host.run("systemctl reload docker; until docker info | grep -q 'Live Restore Enabled: true'; do sleep 0.1; done")
    host.run(f"cp -a {root}/network/files /root/older")
    host.docker("network", "create", "away")
    host.docker("run", "-d", "--name", "cut", "--network=away", "--stop-signal=KILL", *SLEEP)
    stop(host)
    host.run(f"rm -r {root}/network/files; mv /root/older {root}/network/files")
    start(host)
    host.wait_docker()
    told = relocator(host, "check", f"{DISK}/more", "--same-disk")
    found = "".join(findings(told, "cannot-restart"))
    assert "The container cut runs" in found, told.stdout + told.stderr
    assert "Its network away is gone" in found
    host.docker("stop", "--time=0", "cut")
    refused = host.run(["docker", "start", "cut"], check=False)
    assert (refused.returncode, "not found" in refused.stderr) == (1, True), refused.stderr
