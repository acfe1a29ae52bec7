"""What is needed by nothing is told from what an image, a build or another container has, too."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from entrypoint.engine.docker import Engine
from entrypoint.engine.holdings.unneeded import Unneeded, look
from tests.unit.support.good_facts import container

USAGE = {
    "Images": [
        {"Containers": 1, "RepoTags": ["app:1"], "Size": 1000, "SharedSize": 0},
        {"Containers": 0, "RepoTags": ["old:1"], "Size": 300, "SharedSize": 100},
        {"Containers": 0, "RepoTags": [], "Size": 50, "SharedSize": 10},
        {"Containers": 0, "RepoTags": None, "Size": 7, "SharedSize": -1},
    ],
    "BuildCache": [
        {"Size": 5, "InUse": False, "Shared": False},
        {"Size": 70, "InUse": True, "Shared": False},
        {"Size": 900, "InUse": False, "Shared": True},
    ],
}


def test_only_what_nothing_else_has_is_counted(tmp_path: Path) -> None:
    assert look(tmp_path, (), USAGE) == Unneeded(untagged=47, unused=200, cache=5)


def test_an_engine_that_tells_nothing_has_nothing_to_spare(tmp_path: Path) -> None:
    assert look(tmp_path, (), {}) == look(tmp_path, (), {"Images": None, "BuildCache": None}) == Unneeded()


def test_a_log_counts_with_those_that_were_rotated_and_through_no_link(tmp_path: Path) -> None:
    directory = tmp_path / "containers" / "web"
    directory.mkdir(parents=True)
    (directory / "web-json.log").write_bytes(bytes(20))
    (directory / "web-json.log.1").write_bytes(bytes(3))
    (directory / "config.v2.json").write_bytes(bytes(100))
    (tmp_path / "far").write_bytes(bytes(5000))
    (directory / "web-json.log.2").symlink_to(tmp_path / "far")
    found = look(tmp_path, (container("web"), container("gone")), {})
    assert found.logs == {"web": 23 + len(str(tmp_path / "far")), "gone": 0}


class Api:
    """The SDK's client, as far as it is asked here."""

    base_url = "http+docker://localhost"

    def __init__(self, version: str) -> None:
        self.api_version = version
        self.asked: list[str] = []

    def get(self, place: str, **_how: object) -> "Api":
        self.asked.append(place)
        return self

    def raise_for_status(self) -> None:
        pass

    def json(self) -> dict[str, object]:
        return {"Images": []}


@pytest.mark.parametrize(("version", "asked"), [
    ("1.40", []), ("1.41", []), ("1.42", ["v1.42"]), ("1.45", ["v1.44"]), ("1.52", ["v1.44"]),
])  # fmt: skip
def test_an_engine_that_would_walk_through_every_container_is_not_asked(version: str, asked: list[str]) -> None:
    api = Api(version)
    client: Any = SimpleNamespace(api=api)
    assert Engine(client).usage() == ({"Images": []} if asked else {})
    assert api.asked == [f"http+docker://localhost/{one}/system/df" for one in asked]
