"""Each of the two walls holds alone, and without both the attack succeeds: else these tests would show nothing.

A directory is exchanged for a link right after it was decided to cut it into shards, in a copy of the package from
which a wall was taken out.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.integration.support.copier_run import CHECKOUT, Harm, copier
from tests.integration.support.scene import VOLUME, Scene

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="copies as root")

# Mounts of their own: the kernel is asked for calls that it does not have.
MOUNTS = (("host/confined/confinement.py", "OPEN_TREE, MOVE_MOUNT = 428, 429", "OPEN_TREE, MOVE_MOUNT = 9998, 9999"),)
# Descriptors: links are followed.
DESCRIPTORS = (
    ("host/confined/beneath.py", "NO_LINKS = os.O_NOFOLLOW\n", "NO_LINKS = 0\n"),
    ("host/confined/beneath.py", "RESOLVE = 0x08 | 0x04 | 0x02", "RESOLVE = 0"),
)
Removal = tuple[tuple[str, str, str], ...]


def without(folder: Path, removal: Removal) -> Path:
    """The package without a wall."""
    shutil.copytree(CHECKOUT / "entrypoint", folder / "entrypoint", ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in removal:
        place = folder / "entrypoint" / name
        text = place.read_text()
        assert text.count(old) == 1, name
        place.write_text(text.replace(old, new))
    return folder


def attacked(folder: Path, package: Path, name: str) -> None:
    scene = Scene(folder / "scene", 0)
    with copier(scene.source, scene.target, f"--swap={VOLUME}/{name}", package=package) as run:
        told = run.answer()
        scene.require_harmless()
        assert told.get("step") == "pre-copy", told.get("failed")
        run.go_on()
        told = run.answer()
        scene.require_harmless()
        assert told.get("step") == "check", told.get("failed")
    assert not (found := scene.differences()), str(found)


KINDS = ["big-out", "big-absolute", "big-victim", "big-copy"]


@pytest.mark.parametrize("name", ["big-out", *(pytest.param(one, marks=pytest.mark.matrix) for one in KINDS[1:])])
@pytest.mark.parametrize("removal", [(), MOUNTS, DESCRIPTORS], ids=["both", "descriptors-alone", "mounts-alone"])
def test_each_wall_holds_alone(tmp_path: Path, removal: Removal, name: str) -> None:
    attacked(tmp_path, without(tmp_path / "package", removal), name)


@pytest.mark.parametrize("name", ["big-out", pytest.param("big-absolute", marks=pytest.mark.matrix)])
def test_without_both_walls_the_attack_succeeds(tmp_path: Path, name: str) -> None:
    with pytest.raises(Harm):
        attacked(tmp_path, without(tmp_path / "package", (*MOUNTS, *DESCRIPTORS)), name)
