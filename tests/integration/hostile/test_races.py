"""Tenants that exchange what they have for links, pipes and devices while their files are copied as root.

Whatever they do, nothing outside the target is touched, nothing that is not theirs gets into their part of the copy,
the copier ends by itself and has copied, and once they are stopped the copy is equal.
"""

import os
import random
import shutil
import time
from pathlib import Path

import pytest

from tests.integration.support.copier_run import Harm, copier
from tests.integration.support.scene import Scene

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="copies as root")

SAMPLE = 6
ROUNDS, TOGETHER = 1000, 10


def play(folder: Path, seed: int) -> None:
    """One round; what it is about depends on the seed."""
    scene = Scene(folder, seed)
    chance = random.Random(seed)
    options = ["--same"] if chance.random() < 0.3 else []
    if chance.random() < 0.3:
        with scene.attacked():
            cut_off(scene, chance.uniform(0.5, 2.0), options)
        scene.require_harmless()
    copy(scene, options)
    if chance.random() < 0.2:
        discard(scene)


def cut_off(scene: Scene, seconds: float, options: list[str]) -> None:
    """An attempt that dies in the middle; the next goes on with what it has left."""
    with copier(scene.source, scene.target, *options):
        time.sleep(seconds)  # not a wait for anything: death comes at any time


def copy(scene: Scene, options: list[str]) -> None:
    with copier(scene.source, scene.target, *options) as run:
        with scene.attacked():
            told = run.answer()
        scene.require_harmless()
        assert told.get("step") == "pre-copy", told.get("failed")
        run.go_on()
        told = run.answer()
    scene.require_harmless()
    assert told.get("step") == "check", told.get("failed")
    assert not (found := scene.differences()), str(found)


def discard(scene: Scene) -> None:
    """A copy that is given up: what leads out of it stays where it leads to."""
    with copier(scene.source, scene.target, "--discard") as run:
        assert run.answer().get("step") == "discard"
    scene.require_harmless()
    assert [*scene.target.iterdir()] == []


@pytest.mark.parametrize("seed", range(SAMPLE))
def test_nothing_leaves_the_target_and_nothing_comes_into_it(tmp_path: Path, seed: int) -> None:
    play(tmp_path, seed)


@pytest.mark.matrix
@pytest.mark.parametrize("first", range(SAMPLE, SAMPLE + ROUNDS, TOGETHER))
def test_nothing_leaves_the_target_in_a_thousand_rounds(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + TOGETHER):
        try:
            play(tmp_path / str(seed), seed)
        except Exception as error:
            raise Harm(f"seed {seed}: {error}") from error
        shutil.rmtree(tmp_path / str(seed))
