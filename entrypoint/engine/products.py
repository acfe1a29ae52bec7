"""Products that answer on Docker's socket and keep their data by rules of their own, and the right way on each."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from entrypoint.console.errors import PreflightError
from entrypoint.console.findings import Finding, error


class Product(StrEnum):
    ENGINE = "Docker Engine"
    DESKTOP = "Docker Desktop"
    WINDOWS = "Docker for Windows containers"
    ROOTLESS = "a rootless engine"
    SNAP = "Docker from a snap"
    PODMAN = "Podman"


REMEDIES: Mapping[Product, str] = {
    Product.DESKTOP: "In Docker Desktop: Settings → Resources → Advanced → Disk image location, then Apply & restart. "
    "It moves its disk image itself.",
    Product.WINDOWS: "On the Windows host, in C:\\ProgramData\\docker\\config\\daemon.json: "
    '{"data-root": "D:\\\\docker"}, '
    "then in PowerShell: Restart-Service docker. Images and containers have to be made anew there.",
    Product.ROOTLESS: "As its user: systemctl --user stop docker; copy ~/.local/share/docker inside the user's "
    'namespace (rootlesskit cp -a OLD NEW); set "data-root" in ~/.config/docker/daemon.json; systemctl --user start '
    "docker.",
    Product.SNAP: "Stop it (snap stop docker), copy /var/snap/docker/common/var-lib-docker to the new path with cp -a, "
    "then: snap set docker data-root=/new/path && snap start docker. The snap may only reach paths that its interfaces "
    "allow, such as below /media and /mnt with: snap connect docker:removable-media.",
    Product.PODMAN: "Podman keeps its storage by containers-storage.conf(5): stop its containers, copy the directory "
    "that `podman info --format {{.Store.GraphRoot}}` names, set graphroot in /etc/containers/storage.conf, and look "
    "with: podman system info. This program's own engine is Docker.",
}  # fmt: skip


def recognise(info: Mapping[str, Any], version: Mapping[str, Any]) -> Product:
    """Which product gave these answers to `GET /info` and `GET /version`."""
    components = [str(one.get("Name", "")) for one in version.get("Components") or ()]
    if any("podman" in name.lower() for name in components) or "BuildahVersion" in info:
        return Product.PODMAN
    if info.get("OSType") == "windows":
        return Product.WINDOWS
    if info.get("OperatingSystem") == "Docker Desktop" or "Docker Desktop" in str(
        (version.get("Platform") or {}).get("Name")
    ):
        return Product.DESKTOP
    if any(option.startswith("name=rootless") for option in info.get("SecurityOptions") or ()):
        return Product.ROOTLESS
    if str(info.get("DockerRootDir")).startswith("/var/snap/"):
        return Product.SNAP
    return Product.ENGINE


def refused(product: Product) -> PreflightError:
    """What is said where nothing else can be asked."""
    (finding,) = other(product)
    return PreflightError("The move is refused, for 1 reason. Nothing was changed.", details=finding.text())


def other(product: Product) -> Iterator[Finding]:
    if product is not Product.ENGINE:
        yield error(
            "other-product",
            f"What answers on the socket is {product}",
            "Its data is not where a Docker engine of this host keeps it, or not in a way that can be moved from here.",
            REMEDIES[product],
        )
