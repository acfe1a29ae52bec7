"""Which containerd it is, who works with it, and how its root becomes a part of the plan."""

import os
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from entrypoint.engine.containerd import service
from entrypoint.engine.containerd.service import DATABASE, default_target
from entrypoint.engine.holdings import written_since
from entrypoint.engine.holdings.written_since import Written
from entrypoint.engine.info import EngineInfo
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.host.host import Host
from entrypoint.host.selinux import SELinux
from entrypoint.host.services.units import Unit
from entrypoint.plan import outline
from entrypoint.plan.plan import Plan
from entrypoint.plan.root_move import RootMove
from entrypoint.preflight.roots import RootKind
from entrypoint.preflight.validation import require_valid_containerd
from tests.unit.support.bolt_file import make_store
from tests.unit.support.good_facts import DROP_IN, GOOD, TWO, make, unit
from tests.unit.support.world import image_store, image_store_of, make_plan


@pytest.mark.parametrize(
    ("target", "beside"),
    [("/mnt/big/docker", "/mnt/big/containerd"), ("/mnt/big/engine", "/mnt/big/engine-containerd")],
)
def test_containerds_root_goes_beside_the_data_root(target: str, beside: str) -> None:
    assert str(default_target(PurePosixPath(target))) == beside


@pytest.mark.parametrize(
    ("told", "arguments", "address"),
    [
        ("", (), "/run/containerd/containerd.sock"),
        ("", ("--containerd=/run/other.sock",), "/run/other.sock"),
        ("", ("--containerd", "/run/other.sock"), "/run/other.sock"),
        ("/run/told.sock", ("--containerd=/run/other.sock",), "/run/told.sock"),
    ],
)
def test_the_address_is_what_the_engine_tells_or_was_told(
    tmp_path: Path, told: str, arguments: tuple[str, ...], address: str
) -> None:
    engine = replace(TWO.engine, containerd=told)
    assert service.address_of(Host(tmp_path), engine, ("dockerd", *arguments)) == address


def test_a_process_works_on_the_root_whose_database_it_has_open(tmp_path: Path) -> None:
    for root in ("a", "b"):
        (tmp_path / root / DATABASE).parent.mkdir(parents=True)
        (tmp_path / root / DATABASE).touch()
    host = Host(tmp_path)
    with (tmp_path / "a" / DATABASE).open():
        assert service.works_on(host, os.getpid(), PurePosixPath("/a"))
        assert not service.works_on(host, os.getpid(), PurePosixPath("/b"))
        assert not service.works_on(host, os.getpid(), PurePosixPath("/none"))
    assert not service.works_on(host, os.getpid(), PurePosixPath("/a"))


class Units:
    """systemd, as far as it is asked here."""

    def unit_of(self, _pid: int) -> str:
        return "docker.service"

    def unit(self, name: str) -> Unit:
        return unit(name)


@pytest.mark.parametrize(
    ("listening", "variable", "managed", "root"),
    [
        (("dockerd", "-H", "fd://"), "", True, "/var/lib/docker/containerd/daemon"),
        (("dockerd", "-H", "fd://"), "/srv/images", True, "/srv/images"),
        (("/usr/bin/containerd",), "", False, "/var/lib/containerd"),
    ],
)
def test_an_engine_that_listens_itself_is_its_own_containerd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    listening: tuple[str, ...], variable: str, managed: bool, root: str,
) -> None:  # fmt: skip
    """features.embedded-containerd, beside a containerd of the host's that the unit names and nobody uses."""
    monkeypatch.setattr(service, "_listener", lambda *_: 42)
    monkeypatch.setattr("entrypoint.engine.unit.service.arguments", lambda _pid: listening)
    units: Any = Units()
    environment = {service.ROOT_VARIABLE: variable} if variable else {}
    found = service.look(Host(tmp_path), units, TWO.engine, ("dockerd", "-H", "fd://"), TWO.mounts, environment)
    assert found is not None
    assert (found.is_managed, str(found.root)) == (managed, root)


def test_the_namespaces_are_those_that_the_engine_tells() -> None:
    answer = {"ID": "a", "DockerRootDir": "/r", "Driver": "overlayfs", "ServerVersion": "29.7.3"}
    told = {"Containerd": {"Address": "/run/s", "Namespaces": {"Containers": "shop", "Plugins": "plugins.moby"}}}
    assert EngineInfo.from_api(answer | told, {}).namespaces == ("shop", "plugins.moby")
    assert EngineInfo.from_api(answer, {}).namespaces == ("moby", "plugins.moby")


def test_an_engine_with_its_images_in_the_data_root_has_no_containerd_to_move() -> None:
    assert [root.kind for root in make(GOOD).roots] == [RootKind.DATA_ROOT]
    assert make(GOOD).every_unit == ("docker.socket", "docker.service")


def test_the_plan_of_two_roots_comes_back_from_its_json() -> None:
    plan = make(TWO)
    assert from_json(Plan, to_json(plan)) == plan
    assert plan.every_unit == ("docker.socket", "docker.service", "containerd.service")
    assert plan.every_started == ("containerd.service", "docker.socket", "docker.service")
    assert [(one.source, one.target) for one in plan.roots] == [
        ("/var/lib/docker", "/mnt/data/docker"),
        ("/var/lib/containerd", "/mnt/data/containerd"),
    ]


def test_the_plan_of_an_older_version_moves_one_root() -> None:
    stored = to_json(make_plan())
    del stored["stays"], stored["store"]
    assert from_json(Plan, stored) == make_plan()


def test_the_move_of_containerds_root_comes_back_from_its_json() -> None:
    assert from_json(RootMove, to_json(image_store())) == image_store()


def test_both_services_wait_for_their_disks() -> None:
    plan = make(TWO)
    _root, service = image_store_of(plan)
    assert plan.ordering.after is not None
    assert service.ordering.after is not None
    assert b'RequiresMountsFor="/mnt/data/docker"' in plan.ordering.after
    assert b"AssertDirectoryNotEmpty=/mnt/data/containerd" in plan.ordering.after
    assert b"AssertDirectoryNotEmpty=/mnt/data/containerd" in service.ordering.after
    assert b"docker" not in service.ordering.after
    assert b"moved containerd's root to /mnt/data/containerd" in service.ordering.after


def test_selinux_treats_each_root_as_the_one_that_its_policy_knows() -> None:
    rules = replace(
        DROP_IN, path=PurePosixPath("/etc/selinux/subs"), content=b"", ancestor=PurePosixPath("/etc/selinux")
    )
    facts = replace(TWO, selinux=SELinux(True, b"", rules))
    [rule] = make(facts).rules
    assert rule.after == b"/mnt/data/docker /var/lib/docker\n/mnt/data/containerd /var/lib/containerd\n"


def test_the_plan_says_what_becomes_of_containerd() -> None:
    told = "\n".join(outline.steps(make(TWO)))
    for part in (
        "copy /var/lib/containerd",
        "stop containerd.service",
        "/etc/containerd/config.toml",
        "start containerd",
    ):
        assert part in told


def wrote_into_snapshots(root: Path) -> Path:
    """Into that of an image, of a container, and of one that the engine has written a file to."""
    place = root / "io.containerd.snapshotter.v1.overlayfs/snapshots"
    for name in ("1/fs/bin/new", "2/fs/var/log", "2/fs/etc/hosts", PurePosixPath("2", "work", "x")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"12345")
    return place


def test_what_containers_wrote_into_snapshots_is_told(tmp_path: Path) -> None:
    make_store(tmp_path, "web")
    wrote_into_snapshots(tmp_path)
    found = written_since.between(TWO.inventory, TWO.inventory, tmp_path, 0.0, tmp_path)
    assert found.written == (Written("container web", 1, 5),)


def test_a_tag_that_an_image_got_or_lost_since_is_told(tmp_path: Path) -> None:
    held = replace(TWO.inventory, images={"sha256:1": "app:1 app:old"})
    now = replace(TWO.inventory, images={"sha256:1": "app:1 app:2", "sha256:2": "other:1 other:2"})
    found = written_since.between(held, now, tmp_path, 0.0)
    assert found.made == ("tag app:2 of image 1", "image other:1 other:2")
    assert found.removed == ("tag app:old of image 1",)


def test_what_was_written_is_told_even_if_nothing_says_by_whom(tmp_path: Path) -> None:
    place = wrote_into_snapshots(make_store(tmp_path, "web"))
    (place.parent / "metadata.db").unlink()
    found = written_since.between(TWO.inventory, TWO.inventory, tmp_path, 0.0, tmp_path)
    assert sorted(one.place for one in found.written) == [
        "container unknown (snapshot 1)", "container unknown (snapshot 2)"]  # fmt: skip


def test_what_containerd_makes_of_its_file_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    class Answer:
        code, stdout, stderr = 0, 'root = "/mnt/data/containerd"\n', ""

    def run(_host: Host, argv: tuple[str, ...], **_options: object) -> Answer:
        asked.append(tuple(argv))
        return Answer()

    monkeypatch.setattr(Host, "run", run)
    require_valid_containerd(Host(tmp_path), TWO)
    require_valid_containerd(Host(tmp_path), GOOD)
    assert asked == [("/usr/bin/containerd", "--config", "/run/relocator/validated.toml", "config", "dump")]
    assert not (tmp_path / "run/relocator").exists()


def test_a_file_that_imports_others_is_read_with_them(tmp_path: Path) -> None:
    folder = tmp_path / "etc/containerd/conf.d"
    folder.mkdir(parents=True)
    (folder / "b.toml").write_text('root = "/srv/b"\n')
    (folder / "a.toml").write_text('version = 2\nimports = ["more/*.toml", "b.toml"]\n')
    (folder / "more").mkdir()
    (folder / "more/c.toml").write_text('imports = ["../../config.toml"]\n')
    (tmp_path / "etc/containerd/config.toml").write_text('imports = ["conf.d/*.toml"]\nroot = "/srv/c"\n')
    config = HostFile.read(Host(tmp_path), "/etc/containerd/config.toml", TWO.mounts)
    found = list(service._imported(Host(tmp_path), config, TWO.mounts))
    assert [file.path.name for file in found] == ["a.toml", "b.toml", "c.toml"]
    assert service._root((), config, found) == "/srv/b"
    assert service._root(("containerd", "--root", "/srv/d"), config, found) == "/srv/d"
