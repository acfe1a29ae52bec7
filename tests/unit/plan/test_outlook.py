"""The figures of a plan follow from the facts, and the document for programs is the one that is described."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entrypoint.console import wording
from entrypoint.console.findings import warning
from entrypoint.engine.containers.turnaround import Turnaround
from entrypoint.engine.inventory import Container, Status
from entrypoint.host.disks.filesystem import Space
from entrypoint.plan import outlook
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import Size
from tests.unit.support.good_facts import (
    GIB,
    GOOD,
    INVENTORY,
    ROOT_MOUNT,
    container,
    make,
    source,
    target,
    with_source,
    with_target,
)

PAGE = (Path(__file__).parents[3] / "docs/json.md").read_text()
FACTS = replace(source(space=Space(2 * GIB, None)), dependents=("app.service",))
SAME = with_target(FACTS, mount=ROOT_MOUNT, space=Space(2 * GIB, None))


def rows(facts: HostFacts) -> dict[str, str]:
    return outlook.rows(make(facts), facts)


def test_the_table_has_sizes_places_and_what_is_free_before_and_after() -> None:
    found = rows(FACTS)
    assert found["source"] == "/var/lib/docker on / (ext4, /dev/8:1): 10.0 GiB in 100000 files and directories"
    assert found["target"] == "/mnt/data/docker on /mnt/data (ext4, /dev/8:17)"
    assert found["free at the target"] == "100.0 GiB now, 90.0 GiB after the move"
    assert found["free at the source"] == "2.0 GiB now, 2.0 GiB after the move, 12.0 GiB after `cleanup`"
    units = "docker.socket, docker.service"
    assert found["units"] == f"stop: {units}; start: {units}; along with them: app.service"
    assert "longer where the disk or the processor is busy" in found["time to copy"]


def test_on_the_same_file_system_layers_take_and_free_nothing() -> None:
    found = rows(SAME)
    assert found["free at the target"] == "2.0 GiB now, 0 B after the move"
    assert found["free at the source"] == "2.0 GiB now, 0 B after the move, 2.0 GiB after `cleanup`"
    assert "layers linked once" in found["engine up"]


@pytest.mark.parametrize(
    ("size", "entries", "bwlimit", "low", "high"),
    [
        (GIB, 86_000, "", 10, 40),
        (21_000_000_000, 10, "", 100, 400),
        (10 * GIB, 10, "10m", 1024, 1024 + 4 * 10 * GIB / 210e6),
        (0, 0, "", 0, 0),
    ],
)
def test_the_copy_takes_as_long_as_bytes_or_files_do(
    size: int, entries: int, bwlimit: str, low: float, high: float
) -> None:
    facts = source(size=Size(size, entries))
    found = outlook.copying(make(facts, bwlimit=bwlimit), facts)
    assert [found.low, found.high] == pytest.approx([low, high])


def at(second: float, name: str = "web", policy: str = "always") -> Container:
    """A container that was started then."""
    return replace(container(name, policy=policy), started_at=f"1970-01-01T00:01:{second:012.9f}Z")


def with_start(*containers: Container, **facts: Any) -> HostFacts:
    """An engine that was started from 1:40 to 1:43.5."""
    service = replace(GOOD.service, starting=(100.0, 103.5))
    return replace(GOOD, service=service, inventory=replace(INVENTORY, containers=containers), **facts)


def seconds(facts: HostFacts) -> float:
    found = outlook.downtime(facts)
    assert found.high == pytest.approx(outlook.WITHIN * found.low)
    return found.low


def test_the_downtime_is_from_the_last_start_and_from_what_has_been_started_since() -> None:
    engine = seconds(with_start())
    along = seconds(with_start(at(42.1234567, "a"), at(44, "b")))
    assert along == pytest.approx(engine + 2 * outlook.STOP)
    later = seconds(with_start(at(42, "a"), at(50, "b"), at(51, "c", policy="on-failure")))
    assert later == pytest.approx(engine + 3 * outlook.STOP + outlook.START + outlook.START_ALONE)
    assert "took 3.5 s, running containers: 2;" in outlook.downtime(with_start(at(42, "a"), at(44, "b"))).basis
    assert seconds(with_start(replace(at(50), status=Status.EXITED))) == engine


def test_files_are_looked_at_twice_unless_nothing_is_copied() -> None:
    looking = with_source(with_start(), looking=0.8)
    assert seconds(looking) == pytest.approx(seconds(with_start()) + 1.6)
    assert "1.6 s to look at all files 2 times" in outlook.downtime(looking).basis
    assert outlook.downtime(looking, copies=False).low == pytest.approx(seconds(with_start()))


def deaf(name: str = "web", given: int | None = None) -> Turnaround:
    return Turnaround(name, seconds=given, is_deaf=True)


@pytest.mark.parametrize(
    ("found", "wait"),
    [
        ((), 0),
        ((Turnaround("web"),), 0),
        ((Turnaround("web", seconds=100),), 0),
        ((deaf(),), 10),
        ((deaf("a", 20), deaf("b", 30), deaf("c")), 30),
        ((deaf(given=0),), 0),
        ((deaf(given=-1),), outlook.LONGEST),
    ],
)
def test_the_slowest_of_those_that_are_deaf_is_waited_for(found: tuple[Turnaround, ...], wait: float) -> None:
    facts = with_start(at(42), turnarounds=found)
    assert seconds(facts) == pytest.approx(seconds(with_start(at(42))) + wait)
    assert (f"{wait:g} s until" in outlook.downtime(facts).basis) is any(one.is_deaf for one in found)


@pytest.mark.parametrize(
    ("config", "flag", "grace"),
    [
        ({"default-stop-timeout": 120}, "", 120),
        ({"default-stop-timeout": 120}, "--default-stop-timeout=30", 30),
        ({"default-stop-timeout": "long"}, "", 10),
        ({}, "", 10),
    ],
)
def test_a_container_is_given_as_long_as_the_engine_gives_it(config: dict[str, object], flag: str, grace: int) -> None:
    """29.7: default-stop-timeout."""
    text = f"[Service]\nExecStart=/usr/bin/dockerd -H fd:// {flag}\n".encode()
    named = replace(GOOD.config, content=json.dumps(config).encode())
    facts = replace(with_start(at(42)), config=named, unit_files=(replace(GOOD.config, content=text),))
    assert seconds(replace(facts, turnarounds=(deaf(),))) == pytest.approx(seconds(facts) + grace)
    assert facts.stop_timeout(deaf(given=5)) == 5


def test_health_checks_are_told_and_are_no_downtime() -> None:
    facts = with_start(at(42), turnarounds=(Turnaround("a", first_check=30.0), Turnaround("b", first_check=5.0)))
    assert "after it 30 s until a is asked for its health" in outlook.downtime(facts).basis
    assert seconds(facts) == seconds(with_start(at(42)))


def test_without_containers_and_a_noted_start_the_downtime_is_that_of_an_engine() -> None:
    facts = replace(GOOD, inventory=replace(INVENTORY, containers=()))
    assert seconds(facts) == pytest.approx(outlook.STOPPING + outlook.SYNC + outlook.STARTING + outlook.PROVING)
    assert "is not known" in outlook.downtime(facts).basis


def document(facts: HostFacts = FACTS) -> dict[str, object]:
    found = outlook.to_json(make(facts), facts, [warning("an-id", "What", "How.", "Do.")])
    stored: dict[str, object] = json.loads(json.dumps(found))
    return stored


def test_the_document_is_what_its_page_describes() -> None:
    described = re.findall(
        r"^\| `([a-z_]+)` \| (.*) \|$", PAGE.partition("## plan")[2].partition("\n## ")[0], re.MULTILINE
    )
    found = document()
    assert [key for key, _ in described] == list(found)
    for key, words in described:
        value = found[key]
        inner = value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        if isinstance(inner, dict) and key != "downtime":
            assert inner.keys() <= set(re.findall(r"`([a-z_]+)`", words))


def test_the_document_has_the_edits_as_diffs_and_each_container_with_its_fate() -> None:
    found = document()
    assert found["containers"] == [
        {"name": "web", "status": "running", "fate": "stops and is running again after the move"}
    ]
    assert "+{" in found["edits"][-1]["diff"]  # type: ignore[index]
    assert found["findings"] == [
        {"id": "an-id", "severity": "warning", "title": "What", "detail": "How.", "remedy": "Do."}
    ]


def test_a_file_system_without_a_limit_of_inodes_has_none_after() -> None:
    found = document(target(space=Space(GIB * 100, None)))
    assert found["target"]["free_inodes_after"] is None  # type: ignore[index]


@pytest.mark.parametrize("columns", [20, 60, 100])
def test_the_table_keeps_its_columns_where_there_is_room(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = [
        wording.sentence({"event": "plan.row", "what": what, "value": value}) for what, value in rows(FACTS).items()
    ]
    lines = [line for one in shown for line in one.splitlines()]
    if columns == 20:
        assert len(lines) == len(shown)
    else:
        assert max(map(len, lines)) <= columns
        assert {line[20:22] for line in lines} == {"  "}
