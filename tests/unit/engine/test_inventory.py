"""What an engine holds is read from its answers, survives being stored, and is compared by what must not be lost."""

import json
from dataclasses import replace
from typing import Any

import pytest

from entrypoint.engine.inventory import (
    Container,
    Inventory,
    Status,
    beneath,
    counts,
    differences,
    ephemeral_volumes,
    tags,
)
from entrypoint.engine.swarm import replicas
from entrypoint.host.disks.stored import from_json, to_json

ANONYMOUS, ANOTHER = "0123456789abcdef" * 4, "f" * 64


def container(name: str, *volumes: str, auto_remove: bool = False, **facts: Any) -> Container:
    made = Container(name, name, "sha256:1", Status.RUNNING, "no", auto_remove, "2024-01-01T00:00:00Z", volumes)
    return replace(made, **facts)


def inventory(*containers: Container, volumes: tuple[str, ...] = (), **facts: Any) -> Inventory:
    made = Inventory("ID", "overlay2", "graphdriver", containers, {"sha256:1": "app:1"},
                     dict.fromkeys(volumes, "local"), {"bridge": "bridge"}, {})  # fmt: skip
    return replace(made, **facts)


ANSWER: dict[str, Any] = {
    "Id": "abc",
    "Name": "/web",
    "Image": "sha256:1",
    "State": {"Status": "running", "StartedAt": "2024-01-01T00:00:00Z"},
    "Config": {"Labels": None},
    "HostConfig": {"RestartPolicy": {"Name": ""}, "AutoRemove": True},
    "Mounts": [
        {"Type": "volume", "Name": ANONYMOUS, "Source": "/var/lib/docker/volumes/x/_data", "Destination": "/data"},
        {"Type": "bind", "Source": "/etc", "Destination": "/etc"},
        {"Type": "tmpfs", "Source": "", "Destination": "/tmp"},
        {"Type": "volume", "Name": "data", "Source": "", "Destination": "/more"},
    ],
}


def test_what_no_restart_brings_back_is_not_counted_as_verified() -> None:
    one, once = container("web"), container("once", auto_remove=True)
    assert counts(to_json(inventory(one, once)))["containers"] == 1
    assert counts({}) == {}


def test_images_are_counted_as_a_user_counts_them() -> None:
    """Not those that a build has left beneath others; one without a name that nothing is built on is listed, too."""
    listed: list[dict[str, Any]] = [
        {"Id": "app", "ParentId": "step", "RepoTags": ["app:1"]},
        {"Id": "step", "ParentId": "base", "RepoTags": ["<none>:<none>"]},
        {"Id": "base", "ParentId": "", "RepoTags": ["base:1"]},
        {"Id": "dangling", "ParentId": "base", "RepoTags": None},
    ]
    below = tuple(beneath(listed))
    assert below == ("step",)
    held = replace(inventory(), images={one["Id"]: " ".join(tags(one)) for one in listed}, beneath=below)
    assert (held.image_count, counts(to_json(held))["images"]) == (3, 3)
    assert from_json(Inventory, {key: one for key, one in to_json(held).items() if key != "beneath"}).image_count == 4


def test_a_container_is_read_with_its_volumes_and_not_its_other_mounts() -> None:
    assert Container.from_inspect(ANSWER) == Container(
        "abc", "web", "sha256:1", Status.RUNNING, "no", True, "2024-01-01T00:00:00Z", (ANONYMOUS, "data")
    )


@pytest.mark.parametrize(("state", "health"), [({}, ""), ({"Health": None}, ""), ({"Health": {"Status": "x"}}, "x")])
def test_a_container_may_have_a_health_check(state: dict[str, Any], health: str) -> None:
    assert Container.from_inspect(ANSWER | {"State": ANSWER["State"] | state}).health == health


def test_a_relocator_is_known_by_its_images_label() -> None:
    labels = {"Config": {"Labels": {"org.opencontainers.image.title": "relocator"}}}
    assert (Container.from_inspect(ANSWER).is_relocator, Container.from_inspect(ANSWER | labels).is_relocator) == (
        False,
        True,
    )


@pytest.mark.parametrize("mounts", [{"Mounts": None}, {"Mounts": []}, {}])
def test_a_container_may_have_no_mounts(mounts: dict[str, Any]) -> None:
    answer = {key: value for key, value in ANSWER.items() if key != "Mounts"} | mounts
    assert Container.from_inspect(answer).volumes == ()


def test_an_inventory_is_read_as_it_was_stored() -> None:
    before = inventory(container("web", ANONYMOUS, "data"), container("db"), volumes=(ANONYMOUS, "data"))
    assert from_json(Inventory, json.loads(json.dumps(to_json(before)))) == before


@pytest.mark.parametrize(
    ("containers", "ephemeral"),
    [
        ((container("a", ANONYMOUS, auto_remove=True),), {ANONYMOUS}),
        ((container("a", ANONYMOUS, ANOTHER, auto_remove=True),), {ANONYMOUS, ANOTHER}),
        ((container("a", ANONYMOUS, auto_remove=True), container("b", ANONYMOUS, auto_remove=True)), {ANONYMOUS}),
        ((container("a", ANONYMOUS),), set()),
        ((container("a", ANONYMOUS, auto_remove=True), container("b", ANONYMOUS)), set()),  # --volumes-from
        ((container("a", "data", auto_remove=True),), set()),
        ((container("a", ANONYMOUS[1:], auto_remove=True),), set()),
        ((container("a", ANONYMOUS.upper(), auto_remove=True),), set()),
        ((container("a", f"{ANONYMOUS}0", auto_remove=True),), set()),
        ((), set()),
    ],
)
def test_volumes_without_a_name_that_only_fleeting_containers_use_are_fleeting(
    containers: tuple[Container, ...], ephemeral: set[str]
) -> None:
    assert ephemeral_volumes(inventory(*containers, volumes=(ANONYMOUS, ANOTHER, "data"))) == ephemeral


def test_a_fleeting_container_and_its_volume_are_missed_on_neither_side() -> None:
    there = inventory(container("a", ANONYMOUS, auto_remove=True), volumes=(ANONYMOUS, "data"))
    gone = inventory(volumes=("data",))
    assert differences(there, gone) == differences(gone, there) == differences(there, there) == ()


@pytest.mark.parametrize(
    "containers",
    [
        (container("a", "data", auto_remove=True),),
        (container("a", ANONYMOUS),),
        (container("a", ANONYMOUS, auto_remove=True), container("b", ANONYMOUS)),
        (),
    ],
)
def test_any_other_volume_is_missed(containers: tuple[Container, ...]) -> None:
    name = next((one.volumes[0] for one in containers), ANONYMOUS)
    before = inventory(*containers, volumes=(name,))
    assert f"volume {name} (local) is missing" in differences(before, replace(before, volumes={}))


BEFORE = inventory(container("web"), volumes=("data",))
WEB = "web, image sha256:1, restart policy"
CHANGED: dict[str, tuple[Inventory, str]] = {
    "engine": (replace(BEFORE, engine_id="X"), "the engine's id was 'ID' and is 'X'"),
    "driver": (replace(BEFORE, driver="vfs"), "the storage driver was 'overlay2' and is 'vfs'"),
    "store": (replace(BEFORE, store="containerd"), "the image store was 'graphdriver' and is 'containerd'"),
    "image lost": (replace(BEFORE, images={}), "image sha256:1 (app:1) is missing"),
    "image renamed": (replace(BEFORE, images={"sha256:1": ""}), "image sha256:1 was 'app:1' and is ''"),
    "network lost": (replace(BEFORE, networks={}), "network bridge (bridge) is missing"),
    "container lost": (replace(BEFORE, containers=()), "container web is missing"),
    "policy": (
        replace(BEFORE, containers=(container("web", policy="always"),)),
        f"container web was '{WEB} no' and is '{WEB} always'",
    ),
}


@pytest.mark.parametrize(("after", "difference"), CHANGED.values(), ids=CHANGED.keys())
def test_a_difference_is_told_in_one_sentence_and_nothing_else_is(after: Inventory, difference: str) -> None:
    assert differences(BEFORE, after) == (difference,)


@pytest.mark.parametrize(
    "after",
    [
        replace(BEFORE, volumes={"data": "local", "x": "nfs"}),
        replace(BEFORE, images={"sha256:1": "app:1", "sha256:2": "new:1"}),
        replace(BEFORE, networks={"bridge": "bridge", "n": "bridge"}),
        replace(BEFORE, plugins={"p": "on"}),
        replace(BEFORE, containers=(container("web"), container("new"))),
    ],
    ids=["volume", "image", "network", "plugin", "container"],
)
def test_what_is_new_is_no_loss_but_its_going_is(after: Inventory) -> None:
    assert differences(BEFORE, after) == ()
    assert len(differences(after, BEFORE)) == 1


@pytest.mark.parametrize(
    "after",
    [
        replace(BEFORE, containers=(replace(container("web"), id="made anew"),)),
        replace(BEFORE, networks={"made anew": "bridge"}),
    ],
    ids=["container", "network"],
)
def test_what_its_owner_has_made_anew_is_the_same(after: Inventory) -> None:
    assert differences(BEFORE, after) == ()
    assert differences(BEFORE, replace(BEFORE, containers=(container("web", image="sha256:2", id="another"),))) == (
        "container web is missing",
    )


def test_how_a_container_stands_is_not_asked_here() -> None:
    stands = replace(BEFORE, containers=(container("web", status=Status.EXITED, started_at="2025-01-01T00:00:00Z"),))
    assert differences(BEFORE, stands) == ()


def test_what_a_swarm_makes_anew_is_no_loss_and_the_node_is_to_be_the_same() -> None:
    task = replace(BEFORE.containers[0], id="t1", name="web.1", service="web")
    before = replace(BEFORE, containers=(*BEFORE.containers, task), node="N", services={"web": 1})
    after = replace(before, containers=(*BEFORE.containers, replace(task, id="t2", name="web.1b")))
    assert differences(before, after) == ()
    assert differences(before, replace(after, node="")) == ("the node's id in the swarm was 'N' and is ''",)


def test_tasks_are_counted_by_service_if_they_run() -> None:
    task = replace(BEFORE.containers[0], service="web", status=Status.RUNNING)
    others = (replace(task, status=Status.EXITED), replace(task, service=""), replace(task, service="db"), task)
    assert replicas((task, *others)) == {"web": 2, "db": 1}
