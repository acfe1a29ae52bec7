"""The one door to the Docker engine: the SDK, on a socket reached through the host's directory.

A bind-mounted socket *file* is dead once the engine has restarted, because the restart makes a new one; the same name
in the host's own directory is not (balena-engine issue 282). Connections are made anew where a proof is wanted.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from entrypoint.console import names
from entrypoint.console.errors import EngineError
from entrypoint.engine.info import EngineInfo
from entrypoint.engine.inventory import PREDEFINED_NETWORKS, Container, Inventory, beneath, moment, names_in, tags
from entrypoint.engine.products import PODMAN, recognise, refused
from entrypoint.engine.swarm import SCOPE, replicas
from entrypoint.host.disks.stored import to_json
from entrypoint.host.host import Host

SOCKET = "/run/docker.sock"
KEPT_EVENTS = 256  # moby daemon/events/events.go
ANSWER = 60.0  # seconds; an engine with thousands of containers lists them slowly
LAYERLESS = "RWLayer of container"  # since 29.5 the engine keeps such a one, and cannot describe it (daemon/inspect.go)
LEFT = "already exists"  # in the answer of containerd that the engine passes on
CONFLICT = 409
DIVIDED, DESCRIBED = (1, 42), (1, 44)  # API: /system/df by type; the last before 1.52 has other fields for it
UNREACHABLE = (DockerException, requests.RequestException, OSError)


class Engine:
    """One connection to the engine. `opened` gives a fresh one; nothing is kept between two."""

    def __init__(self, client: "docker.DockerClient") -> None:
        self._client = client

    @classmethod
    @contextmanager
    def opened(cls, socket: Path) -> Iterator["Engine"]:
        """A new connection to the engine that listens on `socket`, closed at the end of the block.

        Every failure of the SDK inside the block becomes an EngineError.
        """
        client = None
        try:
            client = docker.DockerClient(base_url=f"unix://{socket}", version="auto", timeout=int(ANSWER))
            yield cls(client)
        except UNREACHABLE as error:
            raise EngineError("The Docker engine did not answer as expected.", details=str(error)) from error
        finally:
            if client is not None:
                client.close()

    def info(self) -> EngineInfo:
        answer, version = self._client.info(), self._client.version()
        if recognise(answer, version) is PODMAN:
            raise refused(PODMAN)  # what else it answers is not an engine's
        found = EngineInfo.from_api(answer, version)
        if not found.swarm.is_one_of_managers:
            return found
        return replace(found, swarm=replace(found.swarm, reachable=self._reachable_managers()))

    def _reachable_managers(self) -> int:
        """How many managers this one can reach, itself among them; none answer where they have no majority."""
        try:
            roles = [one.get("ManagerStatus") or {} for one in self._client.api.nodes()]
        except APIError:
            return 0
        return sum(role.get("Reachability") == "reachable" for role in roles)

    def containers(self) -> tuple[Container, ...]:
        """Every container, running or not, the longest running first."""
        listed = self._client.api.containers(all=True, quiet=True)
        found = (self.container(one["Id"]) for one in listed)
        return tuple(sorted((one for one in found if one is not None), key=lambda one: one.start))

    def container(self, container_id: str) -> Container | None:
        """A container, or nothing if there is none (any more). Raises EngineError for one whose layer is gone."""
        try:
            found = Container.from_inspect(self._client.api.inspect_container(container_id))
        except NotFound:
            return None
        except APIError as error:
            if LAYERLESS not in str(error):
                raise
            raise _without_layer(container_id, error) from error
        names.learn({found.id: found.name})
        return found

    def inspect(self, container_id: str) -> dict[str, Any]:
        """The engine's own description of a container."""
        answer: dict[str, Any] = self._client.api.inspect_container(container_id)
        return answer

    def binds(self) -> dict[str, tuple[str, ...]]:
        """The host's paths that containers use, by the container's name, and devices that volumes name."""
        found = {name: tuple(_bound(one.get("Mounts") or ())) for name, one in self._named()}
        for volume in self._client.api.volumes()["Volumes"] or ():
            if device := (volume.get("Options") or {}).get("device", ""):
                found[f"volume {volume['Name']}"] = (device,)
        return found

    def writers(self) -> dict[str, tuple[str, ...]]:
        """The host's paths that containers may write to, by the container's name."""
        return {name: tuple(_written(one.get("Mounts") or ())) for name, one in self._named()}

    def labels(self) -> dict[str, dict[str, str]]:
        """The labels of every container, by its name."""
        return {name: one.get("Labels") or {} for name, one in self._named()}

    def _named(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((one["Names"][0].lstrip("/"), one) for one in self._client.api.containers(all=True))

    def describe(self, container_ids: Iterable[str]) -> tuple[dict[str, Any], ...]:
        """The engine's own descriptions of those containers that are still there."""
        found = []
        for one in container_ids:
            with suppress(NotFound):
                found.append(self.inspect(one))
        return tuple(found)

    def runtimes(self) -> dict[str, str]:
        """The programs of the runtimes that it was set up with, by name."""
        return {name: str(one.get("path") or "") for name, one in (self._client.info().get("Runtimes") or {}).items()}

    def usage(self) -> dict[str, Any]:
        """What its images and its build cache take, as `docker system df` has it: `Images`, `BuildCache`. Nothing from
        an engine that can only be asked for all of it, which is a walk through the files of every container."""
        version = min(_numbers(self._client.api.api_version), DESCRIBED)
        if version < DIVIDED:
            return {}
        place = f"{self._client.api.base_url}/v{version[0]}.{version[1]}/system/df"
        answer = self._client.api.get(place, params={"type": ("image", "build-cache")}, timeout=ANSWER)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def networks(self) -> dict[str, str]:
        """Its networks by number, with the interface of the host that each is said to be on, if one is."""
        return {one["Id"]: (one.get("Options") or {}).get("parent", "") for one in self._client.api.networks()}

    def sized_volumes(self) -> tuple[str, ...]:
        """The volumes, by name, that were made with a limit of size."""
        volumes = self._client.api.volumes()["Volumes"] or ()
        return tuple(one["Name"] for one in volumes if "size" in (one.get("Options") or {}))

    def ended(self, container_id: str) -> tuple[int, float]:
        """With which exit code a container has ended, and when (seconds since 1970)."""
        state = self.inspect(container_id)["State"]
        return int(state["ExitCode"]), moment(state["FinishedAt"])

    def events(self) -> tuple[dict[str, Any], ...]:
        """What has happened since this engine was started, or the last of it: it remembers KEPT_EVENTS."""
        until = f"{time.time():.9f}"  # the engine takes fractions, whatever the client's types say
        return tuple(self._client.api.events(since="0", until=until, decode=True))  # type: ignore[call-overload]

    def start(self, container_id: str) -> bool:
        """Whether a container was started. One that an engine was not given the time to end is in containerd's hands
        for a moment yet, and no task of its id can be begun ("task …: already exists")."""
        try:
            self._client.api.start(container_id)
        except APIError as error:
            if LEFT not in str(error):
                raise
            return False
        return True

    def pause(self, container_id: str) -> bool:
        """Whether the container is paused; one that is just being started again cannot be yet."""
        try:
            self._client.api.pause(container_id)
        except APIError as error:
            if error.status_code != CONFLICT:
                raise
            return False
        return True

    def stop(self, container_id: str) -> None:
        """Stop a container, and give it the time it asks for: the answer comes when it is down."""
        self._client.api.stop(container_id, timeout=self.inspect(container_id)["Config"].get("StopTimeout"))

    def limit_processor(self, container_id: str, shares: int) -> None:
        """Give a container these CPU shares, unless somebody has given it some."""
        if not self.inspect(container_id)["HostConfig"].get("CpuShares"):
            self._client.api.update_container(container_id, cpu_shares=shares)

    def inventory(self) -> Inventory:
        """Everything the engine holds."""
        info, containers, images = self.info(), self.containers(), self._client.api.images(all=True)
        found = Inventory(
            engine_id=info.engine_id,
            driver=info.driver,
            store=info.store,
            containers=containers,
            images={one["Id"]: " ".join(tags(one)) for one in images},
            beneath=tuple(beneath(images)),
            volumes={one["Name"]: one["Driver"] for one in self._client.api.volumes()["Volumes"] or ()},
            networks=dict(_network(one) for one in self._client.api.networks() if one["Scope"] != SCOPE),
            plugins={one.id: f"{one.name} {'enabled' if one.enabled else 'disabled'}" for one in self._plugins()},
            node=info.swarm.node,
            services=replicas(containers) if info.swarm.stands_alone else {},
        )
        names.learn(names_in(to_json(found)))
        return found

    def _plugins(self) -> list[Any]:
        return list(self._client.plugins.list())

    def sibling_of(self, me: str, arguments: Sequence[str], given: Mapping[str, Any]) -> "Sibling":
        """A container of the same image as `me`, made with what is `given` (the SDK's words), and not yet started."""
        return Sibling(self._client.containers.create(self.inspect(me)["Image"], list(arguments), **given))


class Sibling:
    """A container that works for us, and whose output is ours."""

    def __init__(self, container: Any) -> None:
        self._container = container

    def start(self) -> Iterator[tuple[bytes | None, bytes | None]]:
        """Start it; what it writes from its first byte on, to its output and to its errors, until it ends."""
        written = self._container.attach(stdout=True, stderr=True, stream=True, logs=True, demux=True)
        self._container.start()
        yield from written

    def kill(self, number: int) -> None:
        """Send it a signal; one that has ended needs none."""
        with suppress(APIError):
            self._container.kill(number)

    def end(self) -> int:
        """Wait until it has ended, and remove it; its exit code."""
        code = int(self._container.wait()["StatusCode"])
        with suppress(NotFound):
            self._container.remove()
        return code


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _bound(mounts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (str(mount["Source"]) for mount in mounts if mount.get("Type") == "bind")


def _written(mounts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    return (str(mount["Source"]) for mount in mounts if mount.get("Type") == "bind" and mount.get("RW"))


def _network(network: dict[str, Any]) -> tuple[str, str]:
    """The key and the facts of a network; the predefined ones are named, not numbered."""
    name = network["Name"]
    if name in PREDEFINED_NETWORKS:
        return name, network["Driver"]
    return network["Id"], f"{name} {network['Driver']}"


def reason(refused: BaseException) -> str:
    """The engine's own words, without those of the client around them."""
    return str(getattr(refused, "explanation", None) or refused)


def socket_of(host: Host) -> Path:
    """Where the host's engine listens, as seen from here."""
    return host.path(host.resolve(SOCKET))


def _without_layer(container_id: str, error: APIError) -> EngineError:
    return EngineError(
        f"The container {container_id[:12]} is listed, and its layer is gone.",
        details=f"The engine cannot describe it: {error.explanation or error}",
        resolution=f"Bring the layer back, or remove the container and make it anew: docker rm {container_id[:12]}",
    )
