"""The bundle: the script with the image's files behind it, under the shells that hosts have."""

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from entrypoint.commands.printed import script

SHELLS = {"dash": ("dash",), "busybox": ("busybox", "sh"), "bash": ("bash", "--posix")}
# Notes what it is asked and what it reads from the bundle, and ends with the next of the codes.
UNSHARE = """#!/bin/sh
shift 9
first=$1
shift
echo "$*" >>"{here}/asked"
tail -c "+$first" <&3 >"{here}/files"
read -r code rest <"{here}/codes"; sed -i '1d' "{here}/codes"
exit "$code"
"""
DOCKER = """#!/bin/sh
echo "$* ${{DOCKER_HOST-no host}} ${{DOCKER_CONTEXT-}}" >>"{here}/docker"
"""
SYSTEMCTL = "#!/bin/sh\necho inactive; exit 3\n"
ID = "#!/bin/sh\ncat '{here}/uid'\n"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    root = tmp_path / "image"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/program").write_bytes(os.urandom(5000))
    (root / "bin").symlink_to("usr/bin")
    for name in ("proc", "dev"):
        (root / name).mkdir()
        (root / name / "of the host").touch()
    return root


@pytest.fixture
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the journal is here, not on this machine."""
    here = tmp_path / "script.sh"
    here.write_text(script.SOURCE.read_text().replace("/var/lib/relocator/runs", f"{tmp_path}/runs"))
    monkeypatch.setattr(script, "SOURCE", here)
    monkeypatch.setattr(script, "mounts", lambda: iter(("", "proc", "dev")))


@pytest.fixture
def bundle(image: Path, _elsewhere: None) -> bytes:
    written = io.BytesIO()
    script.write_bundle(written, image)
    return written.getvalue()


class Desk:
    def __init__(self, place: Path, shell: Sequence[str], bundle: bytes) -> None:
        self.place, self.shell = place, shell
        (place / "bin").mkdir()
        (place / "runs").mkdir()
        fakes = {"unshare": UNSHARE, "docker": DOCKER, "systemctl": SYSTEMCTL, "id": ID, "pivot_root": "#!/bin/sh\n"}
        for name, text in fakes.items():
            (place / "bin" / name).write_text(text.format(here=place))
            (place / "bin" / name).chmod(0o755)
        (place / "uid").write_text("0\n")
        (place / "relocator.run").write_bytes(bundle)

    def run(self, *words: str, codes: str, variables: dict[str, str] | None = None) -> tuple[int, str]:
        (self.place / "codes").write_text(codes.replace(" ", "\n") + "\n")
        environment = {"PATH": f"{self.place}/bin:{os.environ['PATH']}", **(variables or {})}
        done = subprocess.run(
            [*self.shell, "relocator.run", *words],
            capture_output=True, text=True, env=environment, timeout=60, check=False, cwd=self.place,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def asked(self) -> list[str]:
        noted = self.place / "asked"
        return noted.read_text().splitlines() if noted.exists() else []


@pytest.fixture(params=SHELLS)
def desk(request: pytest.FixtureRequest, tmp_path: Path, bundle: bytes) -> Desk:
    shell = SHELLS[request.param]
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]}")
    return Desk(tmp_path, shell, bundle)


def numbers(bundle: bytes) -> tuple[int, int]:
    """The first byte of the files, counted from one, and the size, as the script has them."""
    first, size = re.search(rb"^PACKED=(\d+)", bundle, re.MULTILINE), re.search(rb"must be: (\d+)\"", bundle)
    assert first
    assert size
    return int(first[1]), int(size[1])


def test_the_files_begin_where_the_script_says_and_it_knows_its_size(bundle: bytes) -> None:
    first, size = numbers(bundle)
    assert len(bundle) == size
    with tarfile.open(fileobj=io.BytesIO(bundle[first - 1 :]), mode="r:gz") as archive:
        assert {"bin", "usr", "usr/bin", "usr/bin/program"} == set(archive.getnames())


def test_the_same_files_give_the_same_bundle(image: Path, bundle: bytes) -> None:
    written = io.BytesIO()
    script.write_bundle(written, image)
    assert written.getvalue() == bundle


@pytest.mark.usefixtures("_elsewhere")
def test_what_is_mounted_in_the_container_is_the_hosts_and_stays_out(image: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(script.packed(image)), mode="r:gz") as archive:
        assert not [name for name in archive.getnames() if name.startswith(("proc", "dev"))]


@pytest.mark.parametrize("code", [0, 2, 3, 4, 5, 6, 130])
def test_the_program_is_run_from_the_files_and_its_code_is_passed_on(desk: Desk, bundle: bytes, code: int) -> None:
    assert desk.run("/new path", "--checksum", codes=str(code))[0] == code
    (asked,) = desk.asked()
    assert asked.endswith(" -m entrypoint /new path --checksum")
    assert "RELOCATOR_CALLED=sh relocator.run" in asked
    first, _size = numbers(bundle)
    assert (desk.place / "files").read_bytes() == bundle[first - 1 :]


def test_the_program_is_given_the_options_of_the_environment_and_nothing_else_of_it(desk: Desk) -> None:
    desk.run("/new", codes="3", variables={"RELOCATOR_CONTAINERD_ROOT": "/a 'b' $c", "OTHER": "x", "RELOCATOR_YES": ""})
    (asked,) = desk.asked()
    program = asked.index(" -m entrypoint ")
    assert " RELOCATOR_CONTAINERD_ROOT=/a 'b' $c " in asked[:program]
    assert not re.search("OTHER|RELOCATOR_YES", asked)


def test_no_container_is_asked_for(desk: Desk) -> None:
    desk.run("/new", codes="3")
    assert not [line for line in (desk.place / "docker").read_text().splitlines() if line.startswith("run")]


@pytest.mark.parametrize("variables", [{"DOCKER_HOST": "ssh://there"}, {"DOCKER_CONTEXT": "there"}])
def test_it_is_the_engine_of_this_host_whatever_docker_is_told(desk: Desk, variables: dict[str, str]) -> None:
    assert desk.run("/new", codes="3", variables=variables)[0] == 3
    assert {line.partition(" no host ")[2] for line in (desk.place / "docker").read_text().splitlines()} == {"default"}


def test_a_move_is_followed_to_its_outcome(desk: Desk) -> None:
    run = desk.place / "runs/000001"
    run.mkdir()
    (run / "journal.jsonl").write_text(json.dumps({"event": "begun"}) + "\n")
    assert desk.run("/new", codes="10 4")[0] == 4
    assert desk.asked()[1].endswith(" -m entrypoint status --wait")


def test_files_that_cannot_be_unpacked_are_told_with_the_size_that_it_must_have(desk: Desk, bundle: bytes) -> None:
    code, said = desk.run("/new", codes="1")
    assert code == 2
    assert "Nothing was done" in said
    assert f"{len(bundle):09}" in said


def test_somebody_else_than_root_is_told_so(desk: Desk) -> None:
    (desk.place / "uid").write_text("1000\n")
    code, said = desk.run("/new", codes="0")
    assert (code, "as root" in said, desk.asked()) == (2, True, [])
