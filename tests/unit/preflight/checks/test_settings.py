"""Which place wins, and which of them are refused, from facts alone."""

from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest

from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.services.units import Unit
from entrypoint.preflight.edits.engine import switch_edit
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.preflight import check
from entrypoint.settings.setting import Kind
from tests.unit.support.good_facts import CONFIG, GOOD, OVERRIDE

UNIT = "/etc/systemd/system/docker.service"
VENDORS = "/usr/lib/systemd/system/docker.service"
ROOT = PurePosixPath("/var/lib/docker")
TARGET = PurePosixPath("/mnt/data/docker")


def file(path: str, content: str) -> HostFile:
    return HostFile(PurePosixPath(path), content.encode(), True, True, PurePosixPath(path).parent)


def facts(words: str, *, path: str = UNIT, config: str = "{}", environment: str = "", version: str = "28.5.0",
          **unit: Any) -> HostFacts:  # fmt: skip
    """An engine that runs as `words` say, with the root that it runs on."""
    unit_file = file(path, f"[Service]\nExecStart=/usr/bin/dockerd {words}\n")
    command = ("/usr/bin/dockerd", *words.split())
    service: Unit = replace(GOOD.service, command=command, **unit)
    made = replace(
        GOOD,
        service=service,
        unit_files=(unit_file,),
        environment_files=(file("/etc/default/docker", environment),),
        config=replace(CONFIG, content=config.encode()),
        engine=replace(GOOD.engine, version=version),
    )
    return replace(made, arguments=("/usr/bin/dockerd", *(one.text for one in made.command_line())))


def ids(facts: HostFacts) -> list[str]:
    return [finding.id for finding in check(facts)]


FLAG, KEY = "--data-root=/var/lib/docker", '{"data-root": "/var/lib/docker"}'


JUDGED: tuple[tuple[HostFacts, list[str]], ...] = (
    (facts("-H fd://"), []),
    (facts(FLAG), []),
    (facts(FLAG, path=VENDORS), []),
    (facts("", config=KEY), []),
    (facts("$OPTS", environment=f"OPTS='{FLAG}'"), []),
    (facts(FLAG, config=KEY), ["root-set-twice"]),
    (facts("-g /x", config=KEY), ["root-set-twice"]),
    (facts("-g /x", config=KEY, version="20.10.5"), ["root-set-elsewhere"]),
    (facts(FLAG, config='{"graph": "/var/lib/docker"}', version="20.10.5"), ["root-set-elsewhere"]),
    (facts("", config='{"graph": "/var/lib/docker", "data-root": "/var/lib/docker"}'), ["root-set-twice"]),
    (facts(f"-g /x {FLAG}"), ["root-set-elsewhere"]),
    (replace(facts("-H fd://"), arguments=("dockerd", "-H", "fd://", FLAG)), ["root-by-unknown-place"]),
    (replace(facts("--config-file=/a"), arguments=("dockerd",)), ["config-file-differs"]),
    (replace(facts(FLAG), unit_files=(file(UNIT, "[Service]\nExecStart=/d 'x\n"),)), ["unit-not-understood"]),
    (replace(facts(FLAG), unit_files=(file(UNIT, "[Service]\nExecStart=/d\nExecStart=/e\n"),)),
     ["unit-not-understood"]),
    (replace(facts(FLAG), unit_files=(file(UNIT, "[Service]\nExecStart=/d --other\n"),)), ["unit-not-understood"]),
    (facts(FLAG, path="/run/systemd/system/docker.service"), ["root-until-reboot"]),
    (replace(facts("$OPTS"), environment_files=(file("/usr/share/docker.env", f"OPTS={FLAG}"),)),
     ["config-is-vendors"]),
    (replace(GOOD, is_nixos=True), ["config-generated"]),
    (replace(facts(FLAG, path=VENDORS), override=replace(OVERRIDE, writable=False)), ["config-read-only"]),
    (facts("", before=(("/bin/cp", "/x", "/etc/docker/daemon.json"),)), ["config-overwritten"]),
    (replace(facts("", before=(("/x",),), starting=(10.0, 12.0)), config=replace(CONFIG, changed_at=11.0)),
     ["config-overwritten"]),
    (replace(facts("", before=(("/x",),), starting=(10.0, 12.0)), config=replace(CONFIG, changed_at=9.0)), []),
    (facts(FLAG, before=(("/bin/cp", "/x", "/etc/docker/daemon.json"),)), []),
    (replace(facts("--data-root=/link"), configured_root=ROOT), ["root-is-link"]),
)  # fmt: skip


@pytest.mark.parametrize(("given", "found"), JUDGED)
def test_each_way_to_set_the_root_is_judged(given: HostFacts, found: list[str]) -> None:
    assert ids(given) == found


@pytest.mark.parametrize(
    ("given", "path", "kind", "after"),
    [
        (facts(""), "/etc/docker/daemon.json", Kind.JSON, '"data-root": "/mnt/data/docker"'),
        (facts(FLAG), UNIT, Kind.COMMAND, "ExecStart=/usr/bin/dockerd --data-root=/mnt/data/docker\n"),
        (facts(FLAG, path=VENDORS), str(OVERRIDE.path), Kind.COMMAND, "ExecStart=\nExecStart=/usr/bin/dockerd --data-"),
        (facts("$O", environment=f"O='{FLAG}'"), "/etc/default/docker", Kind.ENVIRONMENT, "O='--data-root=/mnt/data"),
        (facts("--data-root ${R}", environment="R=/var/lib/docker\n"), "/etc/default/docker", Kind.ENVIRONMENT,
         "R=/mnt/data/docker\n"),
        (facts(FLAG, config='{"graph": "/x"}', version="20.10.5"), "/etc/docker/daemon.json", Kind.JSON,
         '{"graph": "/mnt/data/docker"}'),
        (facts("", config='{"graph": "/x"}', version="20.10.5"), "/etc/docker/daemon.json", Kind.JSON,
         '{"data-root": "/mnt/data/docker"}'),
    ],
)  # fmt: skip
def test_the_place_that_wins_is_edited(given: HostFacts, path: str, kind: Kind, after: str) -> None:
    edit = switch_edit(given, given.first)
    assert (edit.path, edit.setting.kind) == (path, kind)
    assert after in (edit.after or b"").decode()
