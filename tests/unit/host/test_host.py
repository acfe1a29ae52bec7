"""The host's paths are resolved as the host resolves them, and its programs are run so that none outlives us."""

import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from entrypoint.console.errors import HostCommandError
from entrypoint.host import children
from entrypoint.host.children import Children, Server, polite_command, run
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.host import MAX_SYMLINKS, Host, nsenter_command
from entrypoint.preflight import gathering
from tests.unit.support.good_facts import GOOD


def test_a_program_enters_the_namespaces_of_the_hosts_first_process() -> None:
    assert nsenter_command(["systemctl", "status", "a b"]) == [
        "nsenter", "--target", "1", "--mount", "--uts", "--ipc", "--net", "--wd=/", "--", "systemctl", "status", "a b",
    ]  # fmt: skip


def test_another_process_can_be_entered() -> None:
    assert nsenter_command(["true"], pid=42)[:3] == ["nsenter", "--target", "42"]


def test_a_polite_program_comes_last() -> None:
    assert polite_command(["cp", "a"]) == ["ionice", "-c", "3", "nice", "-n", "19", "cp", "a"]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Directories and symbolic links of every sort; `root/outside` leads out for who resolves it naively."""
    root = tmp_path / "root"
    (root / "data/docker").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "etc/file").touch()
    links = {
        "absolute": "/data",
        "relative": "data/docker",
        "up": "../../../data",
        "etc/up": "../data",
        "chain": "absolute/docker",
        "dangling": "/nowhere/at/all",
        "dangling-relative": "nowhere",
        "loop": "loop",
        "ping": "pong",
        "pong": "/ping",
        "self": ".",
        "root": "/",
        "slashes": "/data//docker/",
        "dotted": "/data/./docker/../docker",
    }
    for name, target in links.items():
        (root / name).symlink_to(target)
    return Host(root)


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        ("/", "/"),
        ("/data/docker", "/data/docker"),
        ("/data//docker/", "/data/docker"),
        ("/absolute", "/data"),
        ("/absolute/docker", "/data/docker"),
        ("/absolute/new/dir", "/data/new/dir"),
        ("/relative", "/data/docker"),
        ("/up/docker", "/data/docker"),
        ("/etc/up/docker", "/data/docker"),
        ("/chain", "/data/docker"),
        ("/dangling/x", "/nowhere/at/all/x"),
        ("/dangling-relative/x", "/nowhere/x"),
        ("/self/self/data", "/data"),
        ("/root/root/data", "/data"),
        ("/slashes", "/data/docker"),
        ("/dotted", "/data/docker"),
        ("/..", "/"),
        ("/../../data", "/data"),
        ("/data/docker/../../etc", "/etc"),
        ("/absolute/../etc", "/etc"),
        ("/relative/..", "/data"),
        ("/nowhere/../data", "/data"),
        ("/etc/file/x", "/etc/file/x"),
    ],
)
def test_a_path_is_resolved_as_the_host_does(host: Host, path: str, resolved: str) -> None:
    assert PurePosixPath(resolved) == host.resolve(path)


@pytest.mark.parametrize("path", ["/loop", "/ping/x", "/data/../pong"])
def test_a_loop_ends_with_an_error(host: Host, path: str) -> None:
    with pytest.raises(HostCommandError, match="Too many symbolic links"):
        host.resolve(path)


def test_as_many_links_are_followed_as_the_kernel_follows(host: Host) -> None:
    for number in range(MAX_SYMLINKS):
        (host.root / f"link{number}").symlink_to(f"link{number + 1}")
    assert host.resolve("/link0") == PurePosixPath(f"/link{MAX_SYMLINKS}")
    (host.root / f"link{MAX_SYMLINKS}").symlink_to("data")
    with pytest.raises(HostCommandError):
        host.resolve("/link0")


def test_a_link_that_begins_with_two_slashes_is_absolute(host: Host) -> None:
    (host.root / "double").symlink_to("//data/docker")
    assert host.resolve("/double") == PurePosixPath("/data/docker")


def test_a_path_is_found_below_the_hosts_root(host: Host) -> None:
    assert host.path("/data/docker") == host.root / "data/docker"
    assert host.path(PurePosixPath("/")) == host.root


def test_a_program_of_the_host_is_found_where_the_host_has_it(host: Host) -> None:
    assert host.program("rm") is None
    (host.root / "usr/bin").mkdir(parents=True)
    (host.root / "bin").symlink_to("usr/bin")
    (host.root / "usr/bin/rm").touch(mode=0o644)
    assert host.program("rm") is None
    (host.root / "usr/bin/rm").chmod(0o755)
    assert host.program("rm") == "/usr/bin/rm"
    (host.root / "usr/sbin").mkdir()
    (host.root / "usr/sbin/systemctl").symlink_to("/lib/systemctl")
    assert host.program("systemctl") is None


def test_the_output_of_a_program_is_kept_byte_by_byte() -> None:
    result = run(["sh", "-c", r"printf 'a\377\n'; printf 'b\376' >&2"], timeout=10)
    assert (result.code, result.stdout, result.stderr) == (0, "a\udcff\n", "b\udcfe")
    assert result.stdout.encode("utf-8", "surrogateescape") == b"a\xff\n"


def test_a_program_is_given_nothing_but_a_path_and_a_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("SECRET", "x")
    names = {line.split("=")[0] for line in run(["env"], timeout=10).stdout.splitlines()}
    assert names == {"PATH", "LC_ALL"}


def test_the_input_of_a_program_is_closed_or_given() -> None:
    assert run(["cat"], timeout=10).stdout == ""
    assert Children().run(["cat"], timeout=10, stdin=b"a\0b").stdout == "a\0b"


def test_a_program_that_fails_is_an_error_that_tells_all() -> None:
    with pytest.raises(HostCommandError) as failed:
        run(["sh", "-c", "echo out; echo why >&2; exit 3"], timeout=10)
    assert failed.value.brief == "`sh` failed with code 3."
    assert failed.value.details == "Command: sh -c 'echo out; echo why >&2; exit 3'\nIt said: why"


def test_a_program_that_fails_silently_is_quoted_from_its_output() -> None:
    with pytest.raises(HostCommandError) as failed:
        run(["sh", "-c", "exit 3"], timeout=10)
    assert failed.value.details.endswith("It said: (nothing)")


def test_a_failure_may_be_asked_for() -> None:
    assert run(["sh", "-c", "exit 3"], timeout=10, check=False).code == 3
    assert run(["sh", "-c", "kill -9 $$"], timeout=10, check=False).code == -9


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(HostCommandError) as failed:
        run(["/no/such/program"], timeout=10)
    assert failed.value.brief == "`/no/such/program` cannot be started: No such file or directory."


@pytest.fixture
def _deaf() -> Iterator[None]:
    """Programs inherit which signals are ignored."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("_deaf")
def test_a_program_that_ignores_the_request_to_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "GRACE", 0.1)
    began = time.monotonic()
    with pytest.raises(HostCommandError, match="did not end within"):
        run(["sleep", "60"], timeout=0.1)
    assert time.monotonic() - began < 10


def test_a_program_that_ends_when_it_is_asked_is_not_killed(tmp_path: Path) -> None:
    script = 'trap "echo ended >mark; exit" TERM; echo ready >mark; while :; do sleep 0.05; done'
    with pytest.raises(HostCommandError, match="did not end within"):
        run(["sh", "-c", f"cd {tmp_path}; {script}"], timeout=1)
    assert (tmp_path / "mark").read_text() == "ended\n"


def test_a_program_that_takes_too_long_is_ended() -> None:
    began = time.monotonic()
    with pytest.raises(HostCommandError, match=r"`sleep 60` did not end within 0\.1 s\."):
        run(["sleep", "60"], timeout=0.1)
    assert time.monotonic() - began < 10


# --- what the engine would be started with --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "root"),
    [
        (None, "/var/lib/docker"),
        (b"", "/var/lib/docker"),
        (b'{"debug": true}', "/var/lib/docker"),
        (b'{"data-root": "/srv/root"}', "/srv/root"),
        (b'{"graph": "/srv/root/"}', "/srv/root"),
        (b'{"data-root": "/link/root"}', "/mnt/data/root"),
        (b"{", None),
    ],
)
def test_the_root_of_the_next_start_is_read_from_the_configuration(
    tmp_path: Path, content: bytes | None, root: str | None
) -> None:
    (tmp_path / "link").symlink_to("/mnt/data")
    config = HostFile(PurePosixPath("/etc/docker/daemon.json"), content, True, True, PurePosixPath("/etc"))
    found = gathering._configured_root(Host(tmp_path), replace(GOOD, config=config))
    assert found == (PurePosixPath(root) if root else None)


def test_a_program_that_was_killed_in_the_middle_has_not_told_all() -> None:
    records = Children().stream(["sh", "-c", "printf 'one\\0'; kill -9 $$"], check=False)
    assert next(records) == b"one"
    with pytest.raises(HostCommandError):
        next(records)
    assert list(Children().stream(["sh", "-c", "printf 'one\\0'; exit 1"], check=False)) == [b"one"]


SERVING = "import sys; [print(end=line.upper() + chr(0), flush=True) for line in iter(sys.stdin.readline, 'end\\n')]"


def test_a_program_that_serves_answers_until_it_is_ended() -> None:
    running = Children()
    server = Server(running, [sys.executable, "-c", SERVING])
    assert running.named(sys.executable)
    try:
        answers = [server.ask(asked) for asked in (b"one\n", b"two\n")]
    finally:
        server.end()
    assert [(answer.code, answer.stdout) for answer in answers] == [(0, "ONE\n"), (0, "TWO\n")]
    assert not running.named(sys.executable)


@pytest.mark.parametrize(("last", "code"), [("", 1), ("; sys.exit('It is full.')", 1), ("; sys.exit(3)", 3)])
def test_one_that_has_ended_has_not_answered(last: str, code: int) -> None:
    server = Server(Children(), [sys.executable, "-c", SERVING + last])
    try:
        result = server.ask(b"end\n")
        assert (result.code, result.stdout, "It is full." in result.stderr) == (code, "", "full" in last)
        assert server.ask(b"x" * (1 << 20)).code == code
    finally:
        server.end()
