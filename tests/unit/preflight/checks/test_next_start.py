"""What a start would change by the way: every option by what it decides, wherever it is written."""

import json
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest

from entrypoint.preflight.checks.engine.next_start import differs, programs
from entrypoint.preflight.facts import HostFacts
from entrypoint.settings import options
from entrypoint.settings.options import Effect
from tests.unit.support.good_facts import CONFIG, GOOD, unit

STARTED = 1_700_000_000.0
UNIT_FILE = replace(CONFIG, path=PurePosixPath("/lib/systemd/system/docker.service"))
INFO: dict[str, Any] = {
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
    "DefaultRuntime": "runc",
    "Runtimes": {"runc": {"path": "runc"}, "io.containerd.runc.v2": {"path": "runc"}},
    "LoggingDriver": "json-file",
    "RegistryConfig": {
        "InsecureRegistryCIDRs": ["::1/128", "127.0.0.0/8"],
        "IndexConfigs": {"docker.io": {"Secure": True}},
        "Mirrors": None,
    },
    "Plugins": {"Authorization": None},
    "Labels": [],
    "LiveRestoreEnabled": False,
    "Debug": False,
}


def facts(
    config: dict[str, Any] | None = None,
    flags: str = "",
    running: str = "",
    unit_text: str = "",
    info: dict[str, Any] | None = None,
    *,
    later: float = 1.0,
    environment: dict[str, str] | None = None,
    inherited: dict[str, str] | None = None,
) -> HostFacts:
    """An engine that runs with some flags, and files that were changed so many seconds after its start."""
    text = f"[Service]\n{unit_text}\nExecStart=/usr/bin/dockerd -H fd:// {flags}\n".encode()
    service = replace(
        unit("docker.service"),
        command=("/usr/bin/dockerd", "-H", "fd://", *flags.split()),
        starting=(STARTED - 1, STARTED),
    )
    return replace(
        GOOD,
        engine=replace(GOOD.engine, in_force=options.in_force(INFO | (info or {}))),
        service=service,
        config=replace(CONFIG, content=json.dumps(config or {}).encode(), changed_at=STARTED + later),
        unit_files=(replace(UNIT_FILE, content=text),),
        arguments=("/usr/bin/dockerd", "-H", "fd://", *running.split()),
        environment={"PATH": "/usr/bin", **(environment or {})},
        inherited=inherited or {},
    )


def ids(found: HostFacts) -> list[str]:
    return [finding.id for finding in differs(found)]


GRAVE = [
    facts({"userns-remap": "default"}),
    facts({"exec-root": "/run/other"}),
    facts({"features": {"embedded-containerd": True}}),
    facts({"features": {"containerd-migration": True}}),
    facts({"default-runtime": "crun", "runtimes": {"crun": {"path": "/usr/bin/crun"}}}),
    facts({"hosts": ["tcp://0.0.0.0:2375"]}),
    facts({"insecure-registries": ["10.0.0.0/8"]}),
    facts({"authorization-plugins": ["opa"]}),
    facts({}, info={"SecurityOptions": ["name=userns", "name=seccomp,profile=builtin"]}),  # was taken out
    facts({"no-such-option": 1}),  # of a newer engine
    facts({"exec-opts": ["native.cgroupdriver=cgroupfs"]}, info={"CgroupDriver": "systemd"}),
    facts({"runtimes": {"kata": {"runtimeType": "io.containerd.kata.v2"}}}),  # a name more
    facts(flags="--userns-remap=default"),
    facts(flags="--add-runtime crun=/usr/bin/crun"),
    facts(running="--storage-opt size=10G"),
    facts(flags="--exec-opt native.cgroupdriver=cgroupfs", running="--exec-opt native.cgroupdriver=systemd"),
    facts(unit_text="Environment=DOCKER_CONTAINERD_ROOT=/srv/containerd"),
    facts(environment={"DOCKER_CONTAINERD_ROOT": "/srv/containerd"}),
]
LESS = [
    facts({"debug": True}),
    facts({"dns": ["192.0.2.1"]}),
    facts({"features": {"buildkit": True}}),
    facts(flags="--log-opt max-size=1m"),
    facts(flags="--live-restore"),
    facts(unit_text="Environment=DOCKER_OPTS=--debug"),
    facts(unit_text="Environment=HTTP_PROXY=http://user:secret@proxy"),
]
SAME = [
    facts(),
    facts({"insecure-registries": ["10.1.2.3/8", "http://reg:5000"], "registry-mirrors": ["https://m/"]},
          info={"RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8", "10.0.0.0/8"], "Mirrors": ["https://m/"],
                                   "IndexConfigs": {"reg:5000": {"Secure": False}}}}),
    facts({"userns-remap": "default"}, info={"SecurityOptions": ["name=userns"]}),
    facts({"hosts": ["unix:///x"], "userns-remap": "default"}, later=-1),  # the engine has read this file
    facts(flags="-D --tls", running="--debug=true --tls=true"),
    facts(flags="-H unix:///run/d.sock", running="--host=unix:///run/d.sock"),
    facts({}, flags="--debug", running="--debug", info={"Debug": True}),
    facts({"exec-opts": ["native.cgroupdriver=systemd"]}, info={"CgroupDriver": "systemd"}),
    facts({}, info={"CgroupDriver": "systemd"}),  # the engine has chosen it
    facts({"runtimes": {"kata": {"runtimeType": "io.containerd.kata.v2"}}}, info={"Runtimes": {"kata": {}}}),
    facts(environment={"HTTP_PROXY": "http://u:p%20w@p"}, unit_text="Environment=HTTP_PROXY=http://u:p%%20w@p"),
    facts(environment={"DOCKER_X": "1"}, inherited={"DOCKER_X": "1"}),
    facts(environment={"HTTP_PROXY": "p"}, unit_text="Environment=HTTP_PROXY=p"),
    facts({"data-root": "/elsewhere"}),  # another check asks that
    replace(facts(flags="--userns-remap=default"), arguments=()),  # its process cannot be seen
    replace(facts(flags="--userns-remap=default"), service=replace(facts().service, command=("/opt/wrapper",))),
]  # fmt: skip


@pytest.mark.parametrize("found", GRAVE)
def test_what_decides_where_things_are_whom_it_trusts_or_whether_it_starts_refuses(found: HostFacts) -> None:
    assert ids(found) == ["start-would-change"]


@pytest.mark.parametrize("found", LESS)
def test_all_else_is_told(found: HostFacts) -> None:
    assert ids(found) == ["start-would-differ"]


@pytest.mark.parametrize("found", SAME)
def test_an_engine_that_runs_as_its_files_say_has_no_finding(found: HostFacts) -> None:
    assert ids(found) == []


def test_names_are_told_and_no_value() -> None:
    found = facts({"hosts": ["tcp://secret"], "log-opts": {"token": "secret"}}, flags="--label secret=secret")
    told = [(finding.id, finding.detail) for finding in differs(found)]
    assert [number for number, _text in told] == ["start-would-change", "start-would-differ"]
    assert "hosts (daemon.json)" in told[0][1]
    assert "labels (flag of docker.service)" in told[1][1]
    assert "secret" not in str(told)


def test_what_is_not_seen_is_not_said_to_be_changed() -> None:
    (grave, less) = differs(facts({"hosts": ["unix:///x"], "labels": ["a"], "log-opts": {}, "userns-remap": "default"}))
    assert "Changed since it was started: userns-remap (daemon.json)." in grave.detail
    assert "does not tell whether it has read there what is now: hosts (daemon.json)." in grave.detail
    assert "Changed since it was started: labels (daemon.json)." in less.detail


@pytest.mark.parametrize("value", [None, 5, True, "text", ["x", 5, None], {"x": None}, {"x": 5}, {"x": {"path": 5}}])
def test_a_value_of_a_wrong_type_is_the_engine_to_refuse(value: object) -> None:
    config = dict.fromkeys({key for keys in options.EFFECTS.values() for key in keys}, value)
    list(differs(facts(config)))
    options.programs(config, ())


def test_programs_that_are_gone_refuse() -> None:
    assert [finding.id for finding in programs(replace(GOOD, lost_programs=("/usr/bin/crun",)))] == ["program-missing"]
    assert list(programs(GOOD)) == []


@pytest.mark.parametrize(
    ("config", "flags", "wanted"),
    [
        ({}, (), ()),
        ({"default-runtime": "runc"}, (), ()),
        ({"default-runtime": "crun", "runtimes": {"crun": {"path": "/usr/bin/crun"}, "x": {"path": "/x"}}}, (),
         ("/usr/bin/crun",)),
        ({"default-runtime": "gv", "runtimes": {"gv": {"runtimeType": "io.containerd.runsc.v1"}}}, (), ()),
        ({}, ("--add-runtime", "crun=crun", "--default-runtime=crun"), ("crun",)),
        ({"runtimes": {"crun": {"path": "crun"}}}, ("--default-runtime=crun",), ("crun",)),
        ({"userland-proxy-path": "/p"}, (), ("/p",)),
    ],
)  # fmt: skip
def test_the_programs_a_start_needs(config: dict[str, Any], flags: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    assert options.programs(config, flags) == wanted


def test_no_option_has_two_effects() -> None:
    keys = [key for known in options.EFFECTS.values() for key in known]
    assert len(keys) == len(set(keys))
    assert set(options.KEYS.values()) <= set(keys)
    assert set(options.TOLD) <= set(keys)
    assert options.effect_of("no-such-option") is Effect.STARTS
