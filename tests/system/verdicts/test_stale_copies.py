"""A copy that is older than the root in use is never put into its place: not one that a failed move has left, nor one
that somebody has made by hand. It can be finished."""

from collections.abc import Iterator

import pytest

from tests.hosts import Disk, Host, boot
from tests.system.dying.test_rollback import ON_NEW_ROOT, broken_unit
from tests.system.moving.test_usual_recipes import configure, start, stop
from tests.system.support.moving import DISK, SOURCE, TARGET, UNIT, assert_nothing_left, move, relocator
from tests.system.verdicts.test_needs import findings

pytestmark = pytest.mark.system

REFUSING = f"[Service]\nExecStartPre=/bin/sh -c '! {ON_NEW_ROOT}'\n"
FILE = "volumes/data/_data/written"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Disk("4G") as disk, boot(name="stale", disks={DISK: disk}) as host:
        host.docker(
            "run", "-d", "--name", "db", "--stop-signal", "KILL", "-v", "data:/data", "busybox", "sleep", "9999"
        )
        yield host


def write(host: Host, text: str) -> None:
    host.docker("exec", "db", "sh", "-c", f"echo {text} >/data/written")


def refused(host: Host, finding: str, *words: str) -> str:
    told = relocator(host, *words)
    assert (told.returncode, f"[{finding}]" in told.stderr) == (3, True), told.stdout + told.stderr
    assert host.docker("info", "--format", "{{.DockerRootDir}}") == SOURCE
    return told.stderr


def test_the_copy_of_a_failed_move_is_refused_by_name(host: Host) -> None:
    """After it: the container is started, it writes, and the same command is run again."""
    write(host, "before")
    with broken_unit(host, REFUSING):
        told = move(host)
    assert (told["state"], told["phase"]) == ("rolled-back", "start"), f"{told}\n{host.journal(UNIT)}"
    write(host, "after")
    for words in ((TARGET,), ("check", TARGET), (TARGET, "--adopt")):
        assert "--adopt" not in refused(host, "failed-copy", *words)
    assert host.path(f"{TARGET}/{FILE}").read_text() == "before\n"


def test_the_usual_recipe_half_done_is_refused_whatever_is_insisted(host: Host) -> None:
    """Stopped, copied, and started again on the old root."""
    host.run(["rm", "-rf", TARGET])
    stop(host)
    host.run(f"mkdir -p {TARGET}; cp -a {SOURCE}/. {TARGET}")
    start(host)
    host.docker("start", "db")
    write(host, "since")
    said = refused(host, "target-not-empty", "check", TARGET)
    assert ("--adopt" in said, "--finish-copy" in said) == (False, True), said
    said = refused(host, "root-older", TARGET, "--adopt")
    assert "volume data (1 file, " in said, said
    assert host.path(f"{TARGET}/{FILE}").read_text() == "after\n"


def test_it_is_finished_and_what_is_only_there_is_removed(host: Host) -> None:
    extra = host.path(f"{TARGET}/volumes/data/_data/extra")
    extra.write_text("only there")
    told = relocator(host, "check", TARGET, "--finish-copy")
    assert (told.returncode, "target-taken-over" in told.stdout) == (0, True), told.stdout + told.stderr
    assert extra.exists()
    done = move(host, TARGET, "--finish-copy")
    assert (done["state"], done["target"]) == ("committed", TARGET), f"{done}\n{host.journal(UNIT)}"
    assert host.docker("exec", "db", "cat", "/data/written") == "since"
    assert not extra.exists()
    assert_nothing_left(host)


def compared(host: Host, name: str) -> tuple[int, str]:
    """What is said of a root without a record, where its use is insisted on."""
    told = relocator(host, "check", f"{DISK}/{name}", "--adopt", "--same-disk")
    return told.returncode, "\n".join(findings(told, "root-unknown")) + told.stderr


def test_how_a_root_without_a_record_stands_to_the_one_in_use_is_told_in_numbers(host: Host) -> None:
    """Copied by hand, and worked on since in one of them, in both, or in none; and one of another engine."""
    root = host.docker("info", "--format", "{{.DockerRootDir}}")
    stop(host)
    for name in ("newer", "divided", "older"):
        host.run(f"cp -a {root} {DISK}/{name}; rm -f {DISK}/{name}/.relocator-root")
    configure(host, **{"data-root": f"{DISK}/strange"})
    start(host)
    host.docker("volume", "create", "theirs")
    stop(host)
    configure(host, **{"data-root": root})
    start(host)
    for name in ("divided", "newer"):
        host.path(f"{DISK}/{name}/volumes/data/_data/theirs").write_text("x")

    code, said = compared(host, "newer")
    assert (code, "1 file was changed there since it was made." in said) == (0, True), said
    assert "was written to" not in said
    host.docker("start", "db")
    write(host, "again")
    code, said = compared(host, "divided")
    assert (code, "1 file was changed there since it was made." in said) == (0, True), said
    assert f"was written to {root}: volume data (1 file, 6 B)" in said
    host.docker("create", "--name", "made", "busybox")
    code, said = compared(host, "older")
    assert (code, "[root-older]" in said, "It has no container made." in said) == (3, True, True), said
    code, said = compared(host, "strange")
    assert (code, "It has 0 containers and 1 volume. It has nothing in common with" in said) == (0, True), said
