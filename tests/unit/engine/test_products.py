"""Products and service managers are recognised by what they answer and have, and each is told its own way.

The answers hold the fields that each product is known to give (`GET /info`, `GET /version`); none was asked here.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entrypoint.console.errors import ExitCode, PreflightError
from entrypoint.engine import products
from entrypoint.engine.info import EngineInfo
from entrypoint.engine.products import Product, recognise
from entrypoint.host.machine import by_hand
from entrypoint.host.machine.by_hand import Init
from entrypoint.preflight.preflight import check
from tests.unit.support.good_facts import ENGINE, GOOD

ENGINE_INFO: dict[str, Any] = {
    "ID": "x",
    "DockerRootDir": "/var/lib/docker",
    "Driver": "overlay2",
    "DriverStatus": [["Backing Filesystem", "extfs"]],
    "ServerVersion": "28.5.2",
    "OSType": "linux",
    "OperatingSystem": "Debian GNU/Linux 13 (trixie)",
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
}
ENGINE_VERSION: dict[str, Any] = {"Platform": {"Name": ""}, "Components": [{"Name": "Engine"}, {"Name": "containerd"}]}

ANSWERS: list[tuple[Product, dict[str, Any], dict[str, Any], str]] = [
    (products.DESKTOP, {"OperatingSystem": "Docker Desktop"}, {},
     "Settings → Resources → Advanced → Disk image location"),
    (products.DESKTOP, {}, {"Platform": {"Name": "Docker Desktop 4.40.0 (187762)"}}, "Disk image location"),
    (products.WINDOWS, {"OSType": "windows", "DockerRootDir": "C:\\ProgramData\\docker"}, {}, "Restart-Service docker"),
    (products.ROOTLESS, {"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
                        "DockerRootDir": "/home/u/.local/share/docker"}, {}, "systemctl --user start docker"),
    (products.SNAP, {"DockerRootDir": "/var/snap/docker/common/var-lib-docker"}, {}, "snap set docker data-root="),
    (products.PODMAN, {"Driver": "overlay", "BuildahVersion": "1.39.4"}, {}, "graphroot"),
    (products.PODMAN, {}, {"Components": [{"Name": "Podman Engine"}]}, "/etc/containers/storage.conf"),
]  # fmt: skip


def test_every_product_of_the_table_is_shown() -> None:
    assert {product for product, *_ in ANSWERS} | {products.ENGINE} == {*products.PRODUCTS}


@pytest.mark.parametrize(("product", "info", "version", "way"), ANSWERS)
def test_another_product_is_refused_with_its_own_way_and_nothing_else(
    product: Product, info: dict[str, Any], version: dict[str, Any], way: str
) -> None:
    engine = EngineInfo.from_api(ENGINE_INFO | info, ENGINE_VERSION | version)
    assert engine.product is product
    found = check(replace(GOOD, engine=engine))
    assert [finding.id for finding in found] == ["other-product"]
    assert product.name in found[0].title
    assert way in found[0].remedy


def test_the_engine_itself_is_none_of_them() -> None:
    assert recognise(ENGINE_INFO, ENGINE_VERSION) is products.ENGINE
    assert check(replace(GOOD, engine=replace(ENGINE, product=products.ENGINE))) == ()


@pytest.mark.parametrize(
    ("root", "security", "configured"),
    [
        ("/srv/docker/100000.100000", ["name=userns"], "/srv/docker"),
        ("/srv/docker/100000.100000", [], "/srv/docker/100000.100000"),
        ("/srv/docker", ["name=userns"], "/srv/docker"),
    ],
)
def test_with_remapped_users_the_configured_root_is_the_parent(root: str, security: list[str], configured: str) -> None:
    info = EngineInfo.from_api(ENGINE_INFO | {"DockerRootDir": root, "SecurityOptions": security}, ENGINE_VERSION)
    assert str(info.data_root) == configured
    assert str(info.data_root / info.within) == root


@pytest.mark.parametrize(
    ("made", "init", "says"),
    [
        (["run/systemd/system"], by_hand.SYSTEMD, ""),
        (["run/openrc"], by_hand.OPENRC, "rc-service docker stop"),
        (["etc/init.d/docker"], by_hand.SYSVINIT, "in /etc/default/docker: DOCKER_OPTS"),
        (["etc/init.d/docker", "etc/sysconfig/docker"], by_hand.SYSVINIT, "in /etc/sysconfig/docker: other_args"),
        ([], by_hand.OTHER, "service docker stop"),
    ],
)
def test_without_systemd_the_steps_are_those_of_the_hosts_own_init(
    tmp_path: Path, made: list[str], init: Init, says: str
) -> None:
    for place in made:
        (tmp_path / place).mkdir(parents=True)
    assert by_hand.find(tmp_path) is init
    if init is by_hand.SYSTEMD:
        by_hand.require_systemd(tmp_path, "systemd")
        return
    with pytest.raises(PreflightError) as refused:
        by_hand.require_systemd(tmp_path, "init")
    assert refused.value.exit_code is ExitCode.REFUSED
    assert says in refused.value.resolution
