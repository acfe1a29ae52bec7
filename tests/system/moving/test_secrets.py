"""Secrets in the configuration of the host's engine: no command tells one, nothing that others can read has one."""

import io
import json
import stat
import tarfile
from collections.abc import Iterator

import pytest

from tests.hosts import Disk, Host, boot
from tests.system.support.moving import DISK, IMAGE, TARGET, UNIT, move, outcome, read, relocator

pytestmark = pytest.mark.system

SECRET = "Zq7geheim"
DAEMON_JSON, DROP_IN = "/etc/docker/daemon.json", "/etc/systemd/system/docker.service.d/10-secret.conf"
VARIABLES = "/etc/default/docker-secret"
PROXY = f"http://me:{SECRET}@127.0.0.1:9"
CONFIGURED = {
    "log-opts": {"tag": SECRET, "env": SECRET, "labels": f"token-{SECRET}"},
    "proxies": {"http-proxy": PROXY, "no-proxy": f"{SECRET}.example"},
    "registry-mirrors": [f"https://mirror.example/{SECRET}/"],
}
# The engine is asked for its own command, for it stands at another place on each suite.
PLANTED = f"""
program=$(systemctl show --property=ExecStart docker.service | sed 's/.*path=\\([^ ;]*\\).*/\\1/')
umask 077
mkdir -p {DROP_IN.rpartition("/")[0]}
cat >{DROP_IN} <<END
# {SECRET}
[Service]
Environment="HTTPS_PROXY={PROXY}" "TOKEN={SECRET}" "AUTH=Basic {SECRET}=="
EnvironmentFile={VARIABLES}
ExecStartPre=/bin/true {DAEMON_JSON} --password={SECRET} {SECRET}
ExecStart=
ExecStart=$program -H fd:// --label unit={SECRET} {{flag}} \\$DOCKER_OPTS
END
cat >{VARIABLES} <<END
# {SECRET}
DOCKER_OPTS="--label=file={SECRET} {{variable}}"
REGISTRY_PASSWORD={SECRET}
END
systemctl daemon-reload
systemctl reset-failed docker.service
systemctl restart docker.service
"""
LOOKS = (("check", TARGET), ("plan", TARGET), ("plan", "--json", TARGET), ("check", "/proc/x"))
AFTERWARDS = (("status",), ("status", "--json"), ("status", "--html=-"), ("rollback",), ("cleanup",))
PLACES = f"/etc /run /tmp /root /var/lib/relocator {DISK}"


def planted(host: Host, flag: str = "", variable: str = "") -> None:
    host.run(PLANTED.replace("{flag}", flag).replace("{variable}", variable))
    host.wait_docker()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Disk("8G", "ext4") as disk, boot(name="secretive", disks={DISK: disk}) as host:
        host.write(DAEMON_JSON, json.dumps(CONFIGURED, indent=4), mode=0o600)
        planted(host)
        host.docker("run", "--detach", "--name=box", "--env", f"PASSWORD={SECRET}", "--label", f"a={SECRET}",
                    "busybox", "sleep", "1000")  # fmt: skip
        yield host


def assert_silent(host: Host, *command: str, codes: tuple[int, ...] = (0,)) -> str:
    told = relocator(host, *command)
    assert told.returncode in codes, told.stdout + told.stderr
    assert SECRET not in told.stdout + told.stderr, f"{command}\n{told.stdout}{told.stderr}"
    return told.stdout


def assert_kept(host: Host) -> None:
    """Of what is written, only root's files have one; the journal is root's altogether."""
    logged = host.run(f"journalctl --unit={UNIT} --unit=relocator-keeper.service --output=verbose").stdout
    assert logged
    assert SECRET not in logged
    found = host.run(f"find {PLACES} -xdev -type f -perm /0077 -exec grep -l {SECRET} {{}} +", check=False).stdout
    assert found == ""
    wrong = "\\( -type f ! -perm 0600 -o -type d ! -perm 0700 \\)"
    assert host.run(f"find /var/lib/relocator {wrong}").stdout == ""


@pytest.mark.parametrize(
    ("flag", "variable", "edited"),
    [
        ("--data-root=/var/lib/docker", "", DROP_IN),
        ("", "--data-root=/var/lib/docker", VARIABLES),
        ("", "", DAEMON_JSON),
    ],
    ids=["flag", "variable", "daemon.json"],
)
def test_no_look_tells_a_secret_wherever_the_root_is_set(host: Host, flag: str, variable: str, edited: str) -> None:
    planted(host, flag, variable)
    for command in LOOKS:
        assert_silent(host, *command, codes=(0, 2, 3))
    with host.terminal(["docker", "run", "--rm", "-it", "--privileged", "--pid=host", IMAGE, "plan", TARGET]) as shown:
        assert shown.wait() == 0, shown.output
        assert SECRET not in shown.output
        assert f"--- {edited}" in shown.output
        assert "***" in shown.output
    [edit] = [
        one for one in json.loads(assert_silent(host, "plan", "--json", TARGET))["edits"] if one["path"] == edited
    ]
    assert f"+++ {edited}" in edit["diff"]
    assert [line for line in edit["diff"].splitlines() if line.startswith("+") and TARGET in line], edit["diff"]


def test_a_move_and_what_is_told_of_it_have_none(host: Host) -> None:
    planted(host)
    assert move(host)["state"] == "committed"
    assert_kept(host)
    for command in AFTERWARDS:
        assert_silent(host, *command, codes=(0, 3))


def test_a_report_has_what_one_who_helps_needs_and_no_secret(host: Host) -> None:
    """The last test has moved the engine."""
    listed = assert_silent(host, "report")
    assert '"event": "report.asked"' in listed
    assert not host.path("/root/report.tar.gz").exists()
    assert_silent(host, "report", "/root/report.tar.gz")
    place = host.path("/root/report.tar.gz")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    with tarfile.open(place) as archive:
        told = {
            one.name.partition("/")[2]: (archive.extractfile(one) or io.BytesIO()).read().decode() for one in archive
        }
    assert [name for name, text in told.items() if SECRET in text] == []
    assert "(run 000001)" in told["status.txt"]
    assert "Docker " in told["versions.txt"]
    assert "debian" in told["versions.txt"].lower()
    assert f'"data-root": "{TARGET}"' in told[f"host{DAEMON_JSON}"]
    assert "ExecStart=" in told[f"host{DROP_IN}"]
    assert "REGISTRY_PASSWORD=***" in told[f"host{VARIABLES}"]
    assert f"+++ {DAEMON_JSON}" in told["runs/000001/plan.txt"]
    assert '"outcome": "committed"' in told["runs/000001/journal.jsonl"]
    assert "phase.finished" in told["runs/000001/log.jsonl"]
    refused = relocator(host, "report", "/root/report.tar.gz")
    assert (refused.returncode, "is there already" in refused.stderr) == (2, True), refused.stderr
    host.run("rm /root/report.tar.gz")


def test_the_way_back_tells_none_and_restores_each(host: Host) -> None:
    """The test before has moved the engine."""
    assert_silent(host, "rollback", "--yes", codes=(10,))
    assert outcome(host)["state"] == "committed"
    assert_kept(host)
    assert_silent(host, "status")
    assert read(host, DAEMON_JSON) == json.dumps(CONFIGURED, indent=4)
    assert f"REGISTRY_PASSWORD={SECRET}\n" in read(host, VARIABLES)
    assert f'Environment="HTTPS_PROXY={PROXY}" "TOKEN={SECRET}"' in read(host, DROP_IN)
