"""Products that answer on Docker's socket and keep their data by rules of their own: the table of them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from entrypoint.console.errors import PreflightError
from entrypoint.console.findings import Finding, error

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Product:
    """A product, by its name for people.

    `answers` tells it by what it answers to `GET /info` and `GET /version`; `way` is how its data is moved, empty for
    the one that is moved here.
    """

    name: str
    answers: Callable[[Answer, Answer], bool]
    way: str = ""


ENGINE = Product("Docker Engine", lambda _info, _version: True)
PODMAN = Product(
    "Podman",
    lambda info, version: "BuildahVersion" in info or any("podman" in name.lower() for name in _components(version)),
    "Podman keeps its storage by containers-storage.conf(5): stop its containers, copy the directory that `podman info "
    "--format {{.Store.GraphRoot}}` names, set graphroot in /etc/containers/storage.conf, and look with: podman system "
    "info. This program's own engine is Docker.",
)
WINDOWS = Product(
    "Docker for Windows containers",
    lambda info, _version: info.get("OSType") == "windows",
    "On the Windows host, in C:\\ProgramData\\docker\\config\\daemon.json: "
    '{"data-root": "D:\\\\docker"}, then in PowerShell: Restart-Service docker. Images and containers have to be made '
    "anew there.",
)
DESKTOP = Product(
    "Docker Desktop",
    lambda info, version: info.get("OperatingSystem") == "Docker Desktop" or "Docker Desktop" in _platform(version),
    "In Docker Desktop: Settings → Resources → Advanced → Disk image location, then Apply & restart. "
    "It moves its disk image itself.",
)
ROOTLESS = Product(
    "a rootless engine",
    lambda info, _version: any(option.startswith("name=rootless") for option in info.get("SecurityOptions") or ()),
    "As its user: systemctl --user stop docker; copy ~/.local/share/docker inside the user's "
    'namespace (rootlesskit cp -a OLD NEW); set "data-root" in ~/.config/docker/daemon.json; systemctl --user start '
    "docker.",
)
SNAP = Product(
    "Docker from a snap",
    lambda info, _version: str(info.get("DockerRootDir")).startswith("/var/snap/"),
    "Stop it (snap stop docker), copy /var/snap/docker/common/var-lib-docker to the new path with cp -a, "
    "then: snap set docker data-root=/new/path && snap start docker. The snap may only reach paths that its interfaces "
    "allow, such as below /media and /mnt with: snap connect docker:removable-media.",
)
# The first that knows the answers as its own; all others are the engine's.
PRODUCTS = (PODMAN, WINDOWS, DESKTOP, ROOTLESS, SNAP, ENGINE)


def recognise(info: Answer, version: Answer) -> Product:
    """Which product gave these answers to `GET /info` and `GET /version`."""
    return next(product for product in PRODUCTS if product.answers(info, version))


def _components(version: Answer) -> list[str]:
    return [str(component.get("Name", "")) for component in version.get("Components") or ()]


def _platform(version: Answer) -> str:
    return str((version.get("Platform") or {}).get("Name"))


def refused(product: Product) -> PreflightError:
    """What is said where nothing else can be asked."""
    (finding,) = other(product)
    return PreflightError("The move is refused, for 1 reason. Nothing was changed.", details=finding.text())


def other(product: Product) -> Iterator[Finding]:
    if product is not ENGINE:
        yield error(
            "other-product",
            f"What answers on the socket is {product.name}",
            "Its data is not where a Docker engine of this host keeps it, or not in a way that can be moved from here.",
            product.way,
        )
