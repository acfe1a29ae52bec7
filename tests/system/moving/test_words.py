"""What is said on a booted host is true: codes, commands that can be typed, paths, and no word of another program's."""

import json
import os
import re
import socket
import socketserver
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.hosts import Disk, Host, boot
from tests.hosts.command import run
from tests.system.support.moving import (
    ATTACHED,
    DISK,
    IMAGE,
    OUTCOME,
    SOURCE,
    TARGET,
    arm,
    assert_nothing_left,
    await_pause,
    disarm,
    outcome,
    relocator,
    resume,
)

pytestmark = pytest.mark.system

SCRIPT = "/root/relocate"
PLUGIN = "/root/.docker/cli-plugins/docker-relocate"
README = Path(__file__).parents[3] / "README.md"


@pytest.fixture(scope="module")
def spoken() -> Iterator[Host]:
    with Disk("4G", "ext4") as disk, boot(name="spoken", disks={DISK: disk}) as host:
        host.docker("run", "-d", "--name", "web", "--restart=always", "busybox", "sleep", "100000")
        for place in (SCRIPT, PLUGIN):
            host.write(place, host.docker("run", "--rm", "relocator", "script"), mode=0o755)
        yield host


def root_of(host: Host) -> str:
    return host.docker("info", "--format", "{{.DockerRootDir}}")


def begin(host: Host, *command: str) -> "subprocess.Popen[bytes]":
    return host.popen(list(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: "subprocess.Popen[bytes]") -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=OUTCOME)
    return process.returncode, output.decode(), errors.decode()


def test_who_waits_during_the_copy_leaves_before_the_engine_does_and_the_script_goes_on(spoken: Host) -> None:
    host = spoken
    arm(host, "pre-copy.begun pause")
    move = begin(host, "docker", "run", *ATTACHED, IMAGE, TARGET)
    await_pause(host, "pre-copy.begun")
    waiting = begin(host, "docker", "run", *ATTACHED, "--name", "waiting", IMAGE, "status", "--wait")
    document = begin(host, "docker", "run", *ATTACHED, "--name", "document", IMAGE, "status", "--wait", "--json")
    script = begin(host, "sh", SCRIPT, "status", "--wait", "--json")
    host.run(
        "until [ $(docker ps --quiet --filter ancestor=relocator | wc -l) = 4 ]; do sleep 0.2; done", timeout=OUTCOME
    )
    resume(host, "pre-copy.begun")
    assert ended(move)[0] == 10
    code, said, errors = ended(waiting)
    assert (code, errors) == (10, ""), said + errors
    assert "until systemctl is-active relocator.service | grep -q inactive; do sleep 1; done; docker run" in said
    code, said, errors = ended(document)
    assert (code, json.loads(said)["state"], errors) == (10, "working", "")
    code, said, errors = ended(script)
    assert (code, json.loads(said)["state"], errors) == (0, "committed", "")
    disarm(host, "pre-copy.begun")
    assert root_of(host) == TARGET


def test_one_who_waits_is_not_interrupted_by_the_engines_stop(spoken: Host) -> None:
    """Begun after the others have left: what stops it is the engine, and no person."""
    host = spoken
    if root_of(host) != TARGET:
        pytest.skip("it goes on from where the test before has ended")
    arm(host, "freeze.prepared pause")
    assert relocator(host, "rollback", "--yes").returncode == 10
    await_pause(host, "freeze.prepared")
    late = begin(host, "docker", "run", *ATTACHED, IMAGE, "status", "--wait")
    code, said, errors = ended(late)
    assert code == 10, said + errors
    assert "until systemctl" in said
    resume(host, "freeze.prepared")
    told = outcome(host)
    disarm(host, "freeze.prepared")
    assert (told["state"], root_of(host)) == ("committed", SOURCE)


@pytest.mark.parametrize(("given", "called"), [
    (("sh", SCRIPT), f"sh {SCRIPT}"),
    ((SCRIPT,), SCRIPT),
    (("docker", "relocate"), "docker relocate"),
    (("docker", "run", *ATTACHED, IMAGE), f"docker run --rm --privileged --pid=host {IMAGE}"),
])  # fmt: skip
def test_what_is_told_to_type_can_be_typed(spoken: Host, given: tuple[str, ...], called: str) -> None:
    """Each as the one who reads it has called it; asked without `--yes` it has answered, and done nothing."""
    host = spoken
    expected = called.replace(f"sh {SCRIPT}", SCRIPT)  # it may be executed
    status = host.run([*given, "status"], check=False)
    assert status.returncode == 0, status.stdout + status.stderr
    assert f"{expected} cleanup" in status.stdout
    for verb in ("cleanup",):
        told = host.run([*given, verb], check=False)
        assert told.returncode == 0, told.stdout + told.stderr
        assert f"{expected} {verb} --yes" in told.stdout
    assert host.path(f"{TARGET}/engine-id").exists()
    wrong = host.run([*given, "undo"], check=False)
    assert (wrong.returncode, "Did you mean `rollback`?" in wrong.stdout + wrong.stderr) == (2, True)


def test_an_engine_of_another_host_is_left_alone(spoken: Host) -> None:
    host = spoken
    host.docker("context", "create", "there", "--docker", "host=ssh://192.0.2.1")
    # The end of a tunnel, or an engine that listens on a port: by its address it is this host's.
    host.run("systemd-run --unit=near systemd-socket-activate -l 127.0.0.1:2375"
             " /usr/lib/systemd/systemd-socket-proxyd /run/docker.sock")  # fmt: skip
    for address in ("tcp://127.0.0.1:2375", "tcp://localhost:2375"):
        told = host.run(f"DOCKER_HOST={address} sh {SCRIPT} check {DISK}/other --same-disk", check=False)
        assert told.returncode == 0, told.stdout + told.stderr
    host.run(["systemctl", "stop", "near.service"])
    for command in (
        "docker --context there relocate",
        f"DOCKER_CONTEXT=there sh {SCRIPT}",
        f"DOCKER_HOST=ssh://192.0.2.1 sh {SCRIPT}",
        f"docker context use there >/dev/null; sh {SCRIPT}",
    ):
        told = host.run(f"{command} check {TARGET}/other", check=False)
        assert told.returncode == 2, told.stdout + told.stderr
        assert "on another host, ssh://192.0.2.1" in told.stderr
    host.docker("context", "use", "default")
    told = host.run(f"DOCKER_HOST=unix:///run/docker.sock sh {SCRIPT} check {DISK}/other --same-disk", check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    tunnel = relocator(host, "check", f"{DISK}/other", "--same-disk", given=("-e", "RELOCATOR_BOOT=another", *ATTACHED))
    assert (tunnel.returncode, "another host" in tunnel.stderr) == (2, True)


def quick_start() -> list[str]:
    """The lines of the README, without those that agree to something."""
    typed = re.findall(r"^.*relocate(?: .*)?$", README.read_text().partition("## Move it")[2], re.MULTILINE)
    return [line for line in typed if re.match("docker run|sh relocate", line) and not line.endswith("--yes")]


def test_a_script_that_finds_no_room_is_not_run(spoken: Host) -> None:
    """What is written then is an empty file, of which a shell says that all is well."""
    host = spoken
    host.run("mkdir -p /full; mount -t tmpfs -o size=64k tmpfs /full; cat /dev/zero >/full/zeros || true")
    told = [host.run(f"cd /full; {line}", check=False) for line in quick_start()]
    host.run("umount /full")
    assert "no space left" in told[0].stderr
    assert [one.returncode for one in told[1:] if one.returncode == 0] == [], told


def test_a_document_is_whole_where_a_terminal_is_asked_for_and_its_output_piped(spoken: Host) -> None:
    """With `-it` all of it goes by one terminal: no carriage return is in it, and nothing beside it."""
    host = spoken
    run = f"docker run -it --rm --privileged --pid=host {IMAGE}"
    asked = (f"plan {DISK}/new --json --same-disk", "plan /proc/new --json", "status --json", "script")
    lines = [f"{run} {words} | cat >/root/piped-{number}" for number, words in enumerate(asked)]
    with host.terminal(["sh", "-c", f"{'; '.join(lines)}; echo 'all  done'"]) as terminal:
        terminal.expect("all  done", OUTCOME)
    plan, refused, status, script = (host.path(f"/root/piped-{number}").read_bytes() for number in range(len(asked)))
    outcomes = [json.loads(one).get("outcome", "") for one in (plan, refused, status)]
    assert outcomes[:2] == ["planned", "refused"]
    assert script.rstrip() == host.path(SCRIPT).read_bytes().rstrip()
    assert not any(b"\r" in one for one in (plan, refused, status))


def test_the_quick_start_can_be_pasted_and_piped(spoken: Host) -> None:
    """On a terminal, all of it at once: each line is run, and what is piped gets what a pipe gets."""
    host = spoken
    block = quick_start()
    assert [line.split()[2] for line in block[1:]] == ["check", "/mnt/data/docker", "rollback", "cleanup"]
    lines = [f'{line}; echo "code=$?"' for line in block]
    lines = [line.replace("/mnt/data/docker", root_of(host)) for line in lines]  # it is there already
    piped = f"sh relocate plan {DISK}/new --json 2>/dev/null | head -c 12 | od -c | head -1"
    with host.terminal(["sh", "-c", "cd /root && exec sh -i"]) as terminal:
        terminal.send("\n".join([*lines, piped, "sh relocate script | tail -c 2 | od -c", ""]))
        shown = terminal.expect("\r\n0000002", OUTCOME)
    assert shown.count("code=0") == len(lines), shown
    assert '{   "   v   e   r   s   i   o   n   "   :' in shown
    assert "}  \\n" in shown, shown


def test_what_cannot_be_removed_is_named_with_its_way(spoken: Host) -> None:
    host = spoken
    if not host.path(f"{TARGET}/engine-id").exists():
        pytest.skip("there is no old root")
    place = host.path(f"{TARGET}/volumes")
    (place / "kept").write_text("x")
    (place / "swap file").write_bytes(bytes(1 << 20))
    (place / "swap file").chmod(0o600)
    run(["chattr", "+i", place / "kept"])
    run(["mkswap", place / "swap file"])
    run(["swapon", place / "swap file"])
    try:
        in_use = relocator(host, "cleanup", "--yes")
    finally:
        run(["swapoff", place / "swap file"])
    assert in_use.returncode == 3, in_use.stdout + in_use.stderr
    assert f"swapoff '{TARGET}/volumes/swap file'" in in_use.stderr
    try:
        told = relocator(host, "cleanup", "--yes")
    finally:
        run(["chattr", "-i", place / "kept"])
    assert told.returncode == 5, told.stdout + told.stderr
    assert f"{TARGET}/volumes/kept" in told.stderr
    assert f"chattr -i {TARGET}/volumes/kept" in told.stderr
    assert "/proc/1/root" not in told.stderr + told.stdout
    assert relocator(host, "cleanup", "--yes").returncode == 0
    assert_nothing_left(host)


@contextmanager
def tunnel(near: Host, far: Host, place: str) -> Iterator[None]:
    """As `ssh -L PLACE:/run/docker.sock`: the engine of one host answers on a socket of another."""

    class End(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as there:
                there.connect(str(far.path("/run/docker.sock")))
                back = Thread(target=carry, args=[there, self.request])
                back.start()
                carry(self.request, there)
                back.join()

    with socketserver.ThreadingUnixStreamServer(str(near.path(place)), End) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            yield
        finally:
            server.shutdown()
            serving.join()


def carry(here: socket.socket, there: socket.socket) -> None:
    with suppress(OSError):
        while piece := here.recv(1 << 16):
            there.sendall(piece)
        there.shutdown(socket.SHUT_WR)


def never_enabled(host: Host) -> None:
    """Of a host that is off: nothing starts its engine, and no engine has ever had a root there."""
    for place in (host.machine.base / "etc/systemd/system").glob("*.wants/docker.*"):
        gone = host.machine.directory / "up" / place.relative_to(host.machine.base)
        gone.parent.mkdir(parents=True, exist_ok=True)
        os.mknod(gone, stat.S_IFCHR, os.makedev(0, 0))  # overlay's word for a file that is gone
    (host.machine.directory / "var/lib/docker").rename(host.machine.directory / "var/lib/kept")


def test_an_engine_that_was_never_enabled_and_one_at_the_end_of_a_tunnel(spoken: Host) -> None:
    """The first by our words; the other by nothing that its address would show."""
    with boot(name="far", start=False) as far:
        never_enabled(far)
        far.boot()
        far.write(SCRIPT, (spoken.path(SCRIPT)).read_text())
        for words in (("check", "/mnt/x"), ("/mnt/x",), ("status",)):
            told = far.run(["sh", SCRIPT, *words], check=False)
            assert told.returncode == 3, told.stdout + told.stderr
            assert "docker.service is inactive" in told.stderr
            assert "systemctl start docker" in told.stderr
            assert "daemon" not in told.stderr
        assert not far.path("/var/lib/docker").exists()
        assert not far.path("/var/lib/relocator").exists()

        far.run("mv /var/lib/kept /var/lib/docker; systemctl start docker.service")
        far.wait_docker()
        with tunnel(spoken, far, "/run/far.sock"):
            spoken.docker("context", "create", "far", "--docker", "host=unix:///run/far.sock")
            assert spoken.docker("--context", "far", "info", "--format", "{{.ID}}") == far.docker(
                "info", "--format", "{{.ID}}"
            )
            for command in ("docker --context far relocate", f"DOCKER_CONTEXT=far sh {SCRIPT}"):
                told = spoken.run(f"{command} /mnt/x", check=False, timeout=OUTCOME)
                assert told.returncode == 2, told.stdout + told.stderr
                assert "another host" in told.stderr
        spoken.docker("context", "rm", "far")
        assert root_of(far) == "/var/lib/docker"
        assert not far.path("/var/lib/relocator").exists()


def test_an_engine_that_does_not_run_is_told_in_our_words(spoken: Host) -> None:
    host = spoken
    host.run(["systemctl", "stop", "docker.socket", "docker.service"])
    try:
        for words in (("check", f"{DISK}/new"), ("rollback",), (f"{DISK}/new",)):
            told = host.run(["sh", SCRIPT, *words], check=False)
            assert told.returncode == 3, told.stdout + told.stderr
            assert "docker.service is inactive" in told.stderr
            assert "daemon" not in told.stderr
        told = host.run(["sh", SCRIPT, "status"], check=False)  # what was, and what is
        assert (told.returncode, '"outcome": "committed"' in told.stdout) == (5, True), told.stdout + told.stderr
        assert "docker.service is inactive" in told.stderr

        # The same engine as a unit of another name.
        units = "/usr/lib/systemd/system"
        host.run(f"cd {units} && sed s/docker.socket/engine.socket/ docker.service >/etc/systemd/system/engine.service")
        host.run(f"mv {units}/docker.service {units}/docker.kept; mv /etc/init.d/docker /root; systemctl daemon-reload")
        try:
            for words, code in ((("check", f"{DISK}/new"), 3), (("status",), 5)):
                told = host.run(["sh", SCRIPT, *words], check=False)
                assert told.returncode == code, told.stdout + told.stderr
                assert "engine.service is inactive" in told.stderr
                assert "systemctl start engine " in told.stderr
        finally:
            host.run(f"mv {units}/docker.kept {units}/docker.service; rm /etc/systemd/system/engine.service;"
                     " mv /root/docker /etc/init.d;"
                     " systemctl daemon-reload")  # fmt: skip
    finally:
        host.run(["systemctl", "start", "docker.socket", "docker.service"])
