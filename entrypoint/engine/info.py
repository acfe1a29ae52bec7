"""What an engine tells of itself that a move depends on."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from entrypoint.engine import drivers, versions
from entrypoint.engine.drivers.driver import Driver
from entrypoint.engine.products import ENGINE, Product, recognise
from entrypoint.engine.swarm import Swarm
from entrypoint.settings import options

SNAPSHOTTER = "io.containerd.snapshotter.v1"
CONTAINERD, GRAPHDRIVER = "containerd", "graphdriver"  # what keeps the images
NAMESPACES = ("moby", "plugins.moby")  # of containerd, in which an engine works unless it is told others
REMAPPED = re.compile(r"[0-9]+\.[0-9]+")


@dataclass(frozen=True)
class EngineInfo:
    """What `GET /info` and `GET /version` tell that a move depends on.

    `data_root` is the root that is configured: with userns-remap the engine works `within` a directory below it that is
    named for the first user and group id, and names that one. `containerd` is the address of its containerd, if it
    tells (since 27), and `namespaces` those of it that are the engine's own. `in_force` is what it tells of its options
    (options.py).
    """

    engine_id: str
    data_root: PurePosixPath
    driver: str
    store: str
    version: str
    live_restore: bool
    swarm: Swarm
    security: tuple[str, ...]
    product: Product = ENGINE
    within: str = ""
    containerd: str = ""
    namespaces: tuple[str, ...] = NAMESPACES
    in_force: Mapping[str, object] = field(default_factory=dict)

    def is_at_least(self, major: int) -> bool:
        """Whether the engine's version is known and not older."""
        return versions.is_at_least(self.version, major)

    @property
    def layers(self) -> Driver:
        """How it keeps what images and containers are made of."""
        return drivers.of(self.driver, is_snapshotter=self.store == CONTAINERD)

    @property
    def remaps(self) -> bool:
        """Whether the engine maps its containers' users to others."""
        return any(option.startswith("name=userns") for option in self.security)

    @classmethod
    def from_api(cls, answer: dict[str, Any], version: dict[str, Any]) -> "EngineInfo":
        status = [tuple(pair) for pair in answer.get("DriverStatus") or ()]
        security = tuple(answer.get("SecurityOptions") or ())
        data_root, within = _divided(PurePosixPath(answer["DockerRootDir"]), security)
        return cls(
            engine_id=answer["ID"],
            data_root=data_root,
            driver=answer["Driver"],
            store=CONTAINERD if ("driver-type", SNAPSHOTTER) in status else GRAPHDRIVER,
            version=answer["ServerVersion"],
            live_restore=bool(answer.get("LiveRestoreEnabled")),
            swarm=Swarm.from_api(answer.get("Swarm") or {}),
            security=security,
            product=recognise(answer, version),
            within=within,
            containerd=(answer.get("Containerd") or {}).get("Address", ""),
            namespaces=_namespaces((answer.get("Containerd") or {}).get("Namespaces") or {}),
            in_force=options.in_force(answer),
        )


def _namespaces(told: Mapping[str, str]) -> tuple[str, ...]:
    """That of its containers, and that of its plugins."""
    return tuple(told.get(kind) or usual for kind, usual in zip(("Containers", "Plugins"), NAMESPACES, strict=True))


def _divided(root: PurePosixPath, security: tuple[str, ...]) -> tuple[PurePosixPath, str]:
    """The root that is configured, and the directory below it in which the engine works, if it is another."""
    remapped = any(option.startswith("name=userns") for option in security)
    return (root.parent, root.name) if remapped and REMAPPED.fullmatch(root.name) else (root, "")
