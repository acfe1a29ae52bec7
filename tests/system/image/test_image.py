"""What is in the image, and what is not; read from the image as it was saved, without an engine."""

import json
import re
import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrypoint import __version__
from tests.hosts import saved
from tests.hosts.builder import built
from tests.hosts.saved import Saved
from tests.sbom import document

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]
LABELS = {"title", "description", "version", "licenses", "base.name"}
LOCKED = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; (.*?))? \\$", re.MULTILINE)
EMPTY = ("var/lib/apt/lists/", "var/cache/apt/", "var/log/", "usr/share/doc/", "usr/share/man/", "tmp/", "root/.cache")


@pytest.fixture(scope="module")
def image() -> Iterator[Saved]:
    with built() as one:
        yield saved.read(one.archive)


def test_no_file_lends_rights(image: Saved) -> None:
    """By mode, or by a capability in an attribute."""
    found = image.files.items()
    assert [name for name, one in found if one.info.isreg() and one.mode & (stat.S_ISUID | stat.S_ISGID)] == []
    assert [name for name, one in found if "SCHILY.xattr.security.capability" in one.info.pax_headers] == []


def test_everything_is_roots_and_nobody_else_can_change_it(image: Saved) -> None:
    """But some directories of apt, which are empty."""
    others = {name for name, one in image.files.items() if one.info.uid}
    assert others <= {"var/cache/apt/archives/partial", "var/lib/apt/lists/partial", "var/lib/apt/lists/auxfiles"}
    places = {name: one for name, one in image.files.items() if one.info.isreg() or one.info.isdir()}
    assert [name for name, one in places.items() if one.mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH] == []


@pytest.mark.parametrize("place", EMPTY)
def test_nothing_is_left_of_its_making(image: Saved, place: str) -> None:
    """The licences stay."""
    there = [name for name, one in image.files.items() if name.startswith(place) and one.content]
    assert [name for name in there if Path(name).name != "copyright"] == []


@pytest.mark.parametrize("program", ["gcc", "cc", "pip", "pip3", "curl", "wget", "sudo", "git", "make"])
def test_a_tool_that_is_not_needed_is_not_there(image: Saved, program: str) -> None:
    assert [name for name in image.files if name in (f"usr/bin/{program}", f"usr/local/bin/{program}")] == []


def test_every_program_that_the_code_starts_is_there(image: Saved) -> None:
    """Those that are started on the host only are the host's."""
    text = "".join(place.read_text() for place in (ROOT / "entrypoint").rglob("*.py"))
    named = {*re.findall(r"\[\s*\"([a-z_]+)\"[,\]]", text), *re.findall(r"=/usr/bin/([a-z_]+)", text)}
    assert {"setsid", "ionice", "pivot_root", "umount", "stat", "sync"} <= named
    there = {Path(name).name for name in image.files if name.startswith(("usr/bin/", "usr/sbin/"))}
    ours = {name for name in named if shutil.which(name)} - {"systemctl", "blkid", "service"}
    assert ours <= there
    assert {"nsenter", "find", "cp", "du", "nice", "env", "sh"} <= there


def test_it_takes_little_room_on_a_full_disk(image: Saved) -> None:
    assert sum(one.info.size for one in image.files.values()) < 90e6


def test_it_says_what_it_is_and_starts_from_nothing_that_can_be_changed_from_outside(image: Saved) -> None:
    config = image.config["config"]
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in config["Labels"].items()}
    assert labels.keys() >= LABELS
    assert labels["version"] == __version__
    assert config["Entrypoint"][:3] == ["/usr/bin/env", "/usr/bin/python3", "-I"]
    assert [one for one in config["Env"] if one.partition("=")[0] not in ("PATH", "RELOCATOR_IMAGE")] == []
    assert not config.get("Volumes")
    assert not config.get("ExposedPorts")


def test_every_module_is_compiled(image: Saved) -> None:
    """The worker starts where nothing can be written, and its engine is away."""
    modules = [Path(name) for name in image.files if name.startswith("opt/relocator/") and name.endswith(".py")]
    compiled = {(Path(name).parents[1], Path(name).name.split(".")[0]) for name in image.files if name[-4:] == ".pyc"}
    assert len(modules) > 300
    assert [one for one in modules if (one.parent, one.stem) not in compiled] == []


def test_the_bill_of_materials_has_all_that_is_locked_and_installed(image: Saved) -> None:
    told = document(image)
    names = {(one["name"], one["version"]) for one in told["components"]}
    locked = {(name, version) for name, version, where in LOCKED.findall((ROOT / "requirements.lock").read_text())
              if "win32" not in where and "python_full_version" not in where}  # fmt: skip
    assert len(locked) > 6
    assert locked <= names
    assert {"python3", "coreutils", "findutils", "util-linux"} <= {name for name, _ in names}
    assert [ref for ref, count in Counter(one["bom-ref"] for one in told["components"]).items() if count > 1] == []
    assert json.dumps(document(image)) == json.dumps(told)
