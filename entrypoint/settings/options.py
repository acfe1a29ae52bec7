"""The options of dockerd: what each changes at a start, and which of them a running engine tells of itself.

An engine reads its flags and its configuration file when it starts. What was changed since is in force from the next
start on, whoever it is for. So a move has to know of each option whether it may be changed unnoticed (moby:
daemon/command/config.go, config_unix.go, options.go; daemon/info.go for what `GET /info` tells).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_network
from typing import Any

Json = Mapping[str, Any]


class Effect(StrEnum):
    """What an option decides: where or how things are kept, who may do what, whether the engine starts, or less."""

    KEEPS = "keeps"
    TRUSTS = "trusts"
    STARTS = "starts"
    LESS = "less"


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What takes the flags itself; any other program between the unit and the engine may make some.
PROGRAMS = ("dockerd", "dockerd-current", "dockerd-ce", ".dockerd-wrapped")
# By their keys in the configuration file. What is in none of them is of a newer engine, and may decide anything.
EFFECTS: Mapping[Effect, frozenset[str]] = {
    Effect.KEEPS: _names(
        "containerd containerd-namespace containerd-plugins-namespace cri-containerd data-root exec-root features "
        "graph rootless storage-driver storage-opts userns-remap"
    ),
    Effect.TRUSTS: _names(
        "allow-nondistributable-artifacts api-cors-header authorization-plugins default-cgroupns-mode "
        "default-ipc-mode group hosts insecure-registries min-api-version no-new-privileges registry-mirrors "
        "seccomp-profile selinux-enabled tls tlscacert tlscert tlskey tlsverify"
    ),
    Effect.STARTS: _names(
        "bridge cgroup-parent default-runtime exec-opts firewall-backend init-path log-driver pidfile runtimes "
        "swarm-default-advertise-addr userland-proxy-path"
    ),
    Effect.LESS: _names(
        "allow-direct-routing bip bip6 bridge-accept-fwmark builder cdi-spec-dirs cluster-advertise cluster-store "
        "cluster-store-opts config-file cpu-rt-period cpu-rt-runtime debug default-address-pools default-gateway "
        "default-gateway-v6 default-network-opts default-shm-size default-stop-timeout default-ulimits "
        "deprecated-key-path dns dns-opts dns-search experimental fixed-cidr fixed-cidr-v6 host-gateway-ip "
        "host-gateway-ips http-proxy https-proxy icc init ip ip-forward ip-forward-no-drop ip-masq ip6tables iptables "
        "ipv6 labels live-restore log-format log-level log-opts max-concurrent-downloads max-concurrent-uploads "
        "max-download-attempts metrics-addr mtu network-control-plane-mtu network-diagnostic-port no-proxy "
        "node-generic-resources nri-opts oom-score-adjust proxies raw-logs shutdown-timeout userland-proxy validate"
    ),
}
# Flags whose key has another name; of all others it is the same.
KEYS: Mapping[str, str] = {
    "add-runtime": "runtimes",
    "authorization-plugin": "authorization-plugins",
    "cdi-spec-dir": "cdi-spec-dirs",
    "cluster-store-opt": "cluster-store-opts",
    "default-address-pool": "default-address-pools",
    "default-network-opt": "default-network-opts",
    "default-ulimit": "default-ulimits",
    "dns-opt": "dns-opts",
    "exec-opt": "exec-opts",
    "feature": "features",
    "host": "hosts",
    "insecure-registry": "insecure-registries",
    "label": "labels",
    "log-opt": "log-opts",
    "node-generic-resource": "node-generic-resources",
    "nri-opt": "nri-opts",
    "registry-mirror": "registry-mirrors",
    "storage-opt": "storage-opts",
}
SHORT: Mapping[str, str] = {
    "b": "bridge", "D": "debug", "G": "group", "g": "graph", "H": "host", "l": "log-level", "p": "pidfile",
    "s": "storage-driver", "v": "version",
}  # fmt: skip
# Variables that the engine reads itself; of others with this beginning a unit makes flags, which are looked at as such.
PREFIX = "DOCKER_"
VARIABLES: Mapping[str, Effect] = {
    "DOCKER_CERT_PATH": Effect.TRUSTS,
    "DOCKER_CONTAINERD_ROOT": Effect.KEEPS,
    "DOCKER_DRIVER": Effect.KEEPS,
    "DOCKER_MIN_API_VERSION": Effect.TRUSTS,
    "DOCKER_TLS_VERIFY": Effect.TRUSTS,
    "DOCKER_TMPDIR": Effect.KEEPS,
}
PROXIES = _names("HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy")


def effect_of(key: str) -> Effect:
    """What an option decides, by its key in the configuration file."""
    return next((effect for effect, keys in EFFECTS.items() if key in keys), Effect.STARTS)


def effect_of_variable(name: str) -> Effect | None:
    """What a variable of the engine's decides; nothing for one that it does not read."""
    if name.startswith(PREFIX) or name in PROXIES:
        return VARIABLES.get(name, Effect.LESS)
    return None


def given(arguments: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """What a command line says of each option, by the option's key. A flag without a value is true."""
    said: dict[str, tuple[str, ...]] = {}
    key = ""
    for word in arguments:
        if word == "--":
            break
        if not word.startswith("-") or word[1:2].isdigit():
            if key:  # the value of the flag before it
                said[key] = (*said[key][:-1], word)
            key = ""
            continue
        key, value = _flag(word)
        said[key] = (*said.get(key, ()), value or "true")
        key = "" if value else key
    return said


def _flag(word: str) -> tuple[str, str]:
    """A flag's key and value as one word has them: --name, --name=value, -n, -nvalue, -n=value."""
    if word.startswith("--"):
        name, _equals, value = word[2:].partition("=")
    else:
        name, value = SHORT.get(word[1:2], word[1:2]), word[2:].removeprefix("=")
    return KEYS.get(name, name), value


@dataclass(frozen=True)
class Told:
    """How an engine tells what is in force, and how the same is written in the configuration; both give one value.

    What is written may be of any type: the engine refuses a wrong one, we do not end by it. `meant` is None where
    nothing is written, and the engine chooses itself.
    """

    in_force: Callable[[Json], object]
    meant: Callable[[Any], object]


def _security(name: str) -> Callable[[Json], object]:
    return lambda info: any(option.split(",")[0] == f"name={name}" for option in info.get("SecurityOptions") or ())


def _is_on(value: Any) -> object:
    return value is True


def _set(value: Any) -> object:
    return frozenset(str(item).rstrip("/") for item in _list(value))


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _paths(runtimes: Any) -> dict[str, str]:
    """The programs of runtimes, by name. One that is set up by a type has none, and its type is not told by an engine
    (moby daemon/info_unix.go)."""
    listed = runtimes.items() if isinstance(runtimes, dict) else ()
    return {name: str(runtime.get("path") or "") for name, runtime in listed if isinstance(runtime, dict)}


def _runtimes(value: Any) -> object:
    """Those that somebody has set up; the engine brings its own."""
    return frozenset((name, path) for name, path in _paths(value).items() if name != "runc" and "." not in name)


def _cgroup_driver(value: Any) -> object:
    """The only option of this kind that an engine on Linux knows (moby daemon/daemon_unix.go)."""
    options = (str(item).partition("=") for item in _list(value))
    return next((driver for name, _equals, driver in options if name.endswith(".cgroupdriver")), None)


LOOPS = frozenset({"127.0.0.0/8", "::1/128"})  # are always trusted


def _registries(info: Json) -> object:
    config = info.get("RegistryConfig") or {}
    names = (name for name, index in (config.get("IndexConfigs") or {}).items() if not index.get("Secure", True))
    return frozenset((*(config.get("InsecureRegistryCIDRs") or ()), *names)) - LOOPS


def _written_registries(value: Any) -> object:
    return frozenset(_registry(str(item)) for item in _list(value)) - LOOPS


def _registry(item: str) -> str:
    """A name, or a network as the engine writes it."""
    with suppress(ValueError):
        return str(ip_network(item, strict=False)) if "/" in item else item
    return item.partition("://")[2] or item


def _profile(info: Json) -> object:
    options = [option for option in info.get("SecurityOptions") or () if option.startswith("name=seccomp")]
    profile = options[0].partition("profile=")[2] if options else ""
    return "" if profile in ("builtin", "default") else profile


TOLD: Mapping[str, Told] = {
    "authorization-plugins": Told(lambda info: _set((info.get("Plugins") or {}).get("Authorization")), _set),
    "debug": Told(lambda info: info.get("Debug") is True, _is_on),
    "default-runtime": Told(lambda info: info.get("DefaultRuntime") or "runc", lambda value: value or "runc"),
    "exec-opts": Told(lambda info: info.get("CgroupDriver") or None, _cgroup_driver),
    "experimental": Told(lambda info: info.get("ExperimentalBuild") is True, _is_on),
    "insecure-registries": Told(_registries, _written_registries),
    "labels": Told(lambda info: _set(info.get("Labels")), _set),
    "live-restore": Told(lambda info: info.get("LiveRestoreEnabled") is True, _is_on),
    "log-driver": Told(lambda info: info.get("LoggingDriver") or "json-file", lambda value: value or "json-file"),
    "no-new-privileges": Told(_security("no-new-privileges"), _is_on),
    "registry-mirrors": Told(lambda info: _set((info.get("RegistryConfig") or {}).get("Mirrors")), _set),
    "runtimes": Told(lambda info: _runtimes(info.get("Runtimes")), _runtimes),
    "seccomp-profile": Told(_profile, lambda value: "" if value in (None, "builtin", "default") else value),
    "selinux-enabled": Told(_security("selinux"), _is_on),
    "userns-remap": Told(_security("userns"), bool),
}


def in_force(info: Json) -> dict[str, object]:
    """What a running engine tells of its options, by key, to be compared with `meant`."""
    return {key: told.in_force(info) for key, told in TOLD.items()}


def meant(config: Json) -> dict[str, object]:
    """What a configuration file says of the options that a running engine tells."""
    return {key: told.meant(config.get(key)) for key, told in TOLD.items()}


def stop_timeout(config: Json, arguments: Iterable[str], usual: float) -> float:
    """Seconds that a container without a time of its own is given to end, since 29.7."""
    flag = given(arguments).get("default-stop-timeout")
    value = flag[-1] if flag else config.get("default-stop-timeout")
    try:
        return usual if value is None else max(0.0, float(value))
    except (TypeError, ValueError):  # the engine refuses it
        return usual


def programs(config: Json, arguments: Iterable[str]) -> tuple[str, ...]:
    """The programs that an engine needs at its start and that are named for it: paths, or names in its search path.

    A runtime that is set up by a type has its program elsewhere (moby daemon/runtime_unix.go).
    """
    flags = given(arguments)
    paths = _paths(config.get("runtimes"))
    paths |= dict(text.partition("=")[::2] for text in flags.get("runtimes", ()))
    default = flags.get("default-runtime", (config.get("default-runtime"),))[-1]
    proxy = flags.get("userland-proxy-path", (config.get("userland-proxy-path"),))[-1]
    return tuple(str(path) for path in (paths.get(str(default)), proxy) if path)
