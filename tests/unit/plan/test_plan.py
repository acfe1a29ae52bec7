"""The plan is data: it survives being stored, and it says all that will be written and made."""

import json
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from entrypoint.engine.inventory import Status
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.host.services.ordering import listening_drop_in, ordering_drop_in, quote_for_unit
from entrypoint.host.services.units import UnitState
from entrypoint.host.services.waking import UNIT, places
from entrypoint.plan import outline
from entrypoint.plan.outline import fates
from entrypoint.plan.plan import Direction, Plan
from entrypoint.plan.root_move import RootMove
from entrypoint.preflight.roots import RootKind
from entrypoint.settings.file_edit import FileEdit, missing_directories
from tests.unit.support.good_facts import (
    DROP_IN,
    GOOD,
    LISTENING,
    ROOT_MOUNT,
    SOURCE,
    TARGET,
    config,
    container,
    make,
    missing_target,
    target,
    unit,
)


def stored(plan: Plan) -> Plan:
    return from_json(Plan, json.loads(json.dumps(to_json(plan))))


def test_a_plan_says_what_follows_from_the_facts() -> None:
    plan = make(GOOD, bwlimit="50m")
    assert plan == Plan(
        direction=Direction.FORTH,
        roots=(
            RootMove(
                kind=RootKind.DATA_ROOT,
                source="/var/lib/docker",
                target="/mnt/data/docker",
                links=False,
                created=(),
                size=10 * 1024**3,
                entries=100_000,
                identity=GOOD.first.source.identity,
                born="",
                switch=FileEdit(
                    "/etc/docker/daemon.json",
                    b'{"debug": true}\n',
                    b'{"debug": true, "data-root": "/mnt/data/docker"}\n',
                ),
                layers=7,
            ),
        ),
        units=("docker.socket", "docker.service"),
        started=("docker.socket", "docker.service"),
        ordering=FileEdit(
            "/etc/systemd/system/docker.service.d/50-relocator.conf",
            None,
            b"# Written by relocator when it moved the data root to /mnt/data/docker\n"
            b"[Unit]\n"
            b'RequiresMountsFor="/mnt/data/docker"\n'
            b"AssertDirectoryNotEmpty=/mnt/data/docker\n",
            ("/etc/systemd/system/docker.service.d",),
        ),
        listening=(
            FileEdit(
                "/etc/systemd/system/docker.socket.d/50-relocator.conf",
                None,
                b"# Written by relocator when it moved the data root to /mnt/data/docker\n"
                b"[Unit]\n"
                b"DefaultDependencies=no\n"
                b"After=systemd-sysusers.service\n"
                b"Conflicts=shutdown.target\n"
                b"Before=shutdown.target\n"
                b'RequiresMountsFor="/mnt/data/docker"\n'
                b"ConditionDirectoryNotEmpty=/mnt/data/docker\n",
                ("/etc/systemd/system/docker.socket.d",),
            ),
        ),
        dependents=(),
        engine_id="ID",
        bwlimit="50m",
        engine_version=GOOD.engine.version,
    )


@pytest.mark.parametrize(
    "facts",
    [GOOD, config(content=None), config(content=b"\xef\xbb\xbf{}"), missing_target("/mnt/data/a b/ä")],
)
def test_a_stored_plan_is_the_plan(facts: object) -> None:
    plan = make(facts)  # type: ignore[arg-type]
    assert stored(plan) == plan


def test_units_that_stop_along_are_in_the_plan_and_in_the_stored_one() -> None:
    plan = make(replace(GOOD, dependents=("app.service", "web.target"), awaited=("late.service",)))
    assert plan.dependents == stored(plan).dependents == ("app.service", "web.target")
    assert plan.awaited == stored(plan).awaited == ("late.service",)


@pytest.mark.parametrize(
    ("found", "before"),
    [
        (None, None),
        (ordering_drop_in(SOURCE.path), ordering_drop_in(SOURCE.path)),
        (ordering_drop_in(SOURCE.path) + b"# edited\n", None),
        (ordering_drop_in(PurePosixPath("/mnt/elsewhere")), None),
        (ordering_drop_in(TARGET.resolved), None),
        (b"", None),
    ],
)
def test_a_drop_in_goes_back_to_what_it_was_only_if_it_was_that_for_the_source(
    found: bytes | None, before: bytes | None
) -> None:
    plan = make(replace(GOOD, drop_in=replace(DROP_IN, content=found)))
    assert (plan.ordering.before, plan.ordering.after) == (before, ordering_drop_in(TARGET.resolved))


@pytest.mark.parametrize(
    ("found", "before"),
    [
        (None, None),
        (listening_drop_in(SOURCE.path), listening_drop_in(SOURCE.path)),
        (ordering_drop_in(SOURCE.path), None),
        (listening_drop_in(TARGET.resolved), None),
    ],
)
def test_so_does_that_of_the_socket(found: bytes | None, before: bytes | None) -> None:
    [made] = make(replace(GOOD, listening=(replace(LISTENING, content=found),))).listening
    assert (made.before, made.after) == (before, listening_drop_in(TARGET.resolved))


def test_an_engine_without_a_socket_has_nothing_that_listens_to_be_told() -> None:
    plan = make(replace(GOOD, listening=()))
    assert plan.listening == ()
    assert plan.orderings == (plan.ordering,)
    assert not any("socket waits" in line for line in outline.steps(plan))


@pytest.mark.parametrize("content", [None, b"", b"\0\xff\r\n", b"text"])
def test_any_content_can_be_stored(content: bytes | None) -> None:
    edit = FileEdit("/etc/x", content, b"\xff", ("/etc",))
    assert from_json(FileEdit, json.loads(json.dumps(to_json(edit)))) == edit


def test_a_service_without_a_socket_is_stopped_alone() -> None:
    plan = make(replace(GOOD, socket=unit("docker.socket", UnitState.INACTIVE, "not-found")))
    assert plan.units == plan.started == ("docker.service",)


def test_a_socket_that_is_not_up_is_stopped_but_not_started() -> None:
    plan = make(replace(GOOD, socket=unit("docker.socket", UnitState.INACTIVE)))
    assert plan.units == ("docker.socket", "docker.service")
    assert plan.started == ("docker.service",)


def test_the_resolved_path_is_what_is_written() -> None:
    facts = target(path=PurePosixPath("/data"), resolved=PurePosixPath("/mnt/data/x"))
    plan = make(facts)
    assert plan.first.target == "/mnt/data/x"
    assert b"/mnt/data/x" in (plan.first.switch.after or b"")


@pytest.mark.parametrize(
    ("path", "quoted"),
    [
        ("/plain", b'"/plain"'),
        ("/my disk", b'"/my disk"'),
        ("/100%", b'"/100%%"'),
        ('/a"b', b'"/a\\"b"'),
        ("/a\\b", b'"/a\\\\b"'),
        ("/a'b", b'"/a\'b"'),
        ("/größe", '"/größe"'.encode()),
        ("/%h $HOME", b'"/%%h $HOME"'),
    ],
)
def test_a_path_is_one_word_of_the_drop_in(path: str, quoted: bytes) -> None:
    assert quote_for_unit(path).encode() == quoted
    assert b"\nRequiresMountsFor=" + quoted + b"\n" in ordering_drop_in(PurePosixPath(path))


@pytest.mark.parametrize(("path", "written"), [("/my disk", b"/my disk"), ("/100%n", b"/100%%n"), ('/a"b', b'/a"b')])
def test_an_assertion_takes_the_rest_of_its_line(path: str, written: bytes) -> None:
    assert ordering_drop_in(PurePosixPath(path)).endswith(b"\nAssertDirectoryNotEmpty=" + written + b"\n")


@pytest.mark.parametrize(
    ("target", "ancestor", "missing"),
    [
        ("/mnt/data", "/mnt/data", ()),
        ("/mnt/data", "/mnt", ("/mnt/data",)),
        ("/a/b/c", "/", ("/a", "/a/b", "/a/b/c")),
        ("/", "/", ()),
    ],
)
def test_missing_directories_are_named_outermost_first(target: str, ancestor: str, missing: tuple[str, ...]) -> None:
    assert missing_directories(PurePosixPath(target), PurePosixPath(ancestor)) == missing


def test_a_new_target_and_a_new_configuration_are_made_with_their_directories() -> None:
    facts = missing_target("/mnt/data/a/b")
    missing = replace(facts.config, content=None, ancestor=PurePosixPath("/etc"))
    plan = make(replace(facts, config=missing))
    assert plan.first.created == ("/mnt/data/a", "/mnt/data/a/b")
    assert plan.first.switch.created == ("/etc/docker",)


def test_the_description_names_every_path_and_unit_in_the_order_of_the_steps() -> None:
    waking = tuple(replace(DROP_IN, path=PurePosixPath(path)) for path in places(TARGET.mount.point))
    lines = outline.steps(make(replace(GOOD, waking=waking)))
    for line, word in zip(
        lines,
        ("/var/lib/relocator", "10.0 GiB", "docker.socket and docker.service", "check the copy",
         "relocator-mounted.service", "mnt-data.mount.d", "docker.service.d/50-relocator.conf",
         "docker.socket.d/50-relocator.conf", "daemon.json",
         "start docker.socket and docker.service", "go back", "/mnt/data/docker/.relocator-root",
         "leave /var/lib/docker"),
        strict=True,
    ):  # fmt: skip
        assert word in line
    assert lines[1].startswith("copy 7 image layers")


def test_a_removal_is_told_as_what_it_does() -> None:
    plan = make(GOOD)
    back = replace(plan, direction=Direction.BACK, ordering=replace(plan.ordering, after=None),
                   listening=tuple(replace(one, after=None) for one in plan.listening),
                   waking=(FileEdit(UNIT, b"x", None),))  # fmt: skip
    [woken, ordered, listens, marked] = [line for line in outline.steps(back) if line.startswith("remove ")]
    assert woken == f"remove {UNIT}: no disk starts the engine any more when it is mounted"
    assert ordered.endswith("50-relocator.conf: the engine waits for the disk that it leaves no more")
    assert listens.endswith("docker.socket.d/50-relocator.conf: its socket listens without the disk that it leaves")
    assert marked.startswith("remove /var/lib/docker/.relocator-root")


def test_on_the_same_file_system_layers_are_linked() -> None:
    plan = make(target(mount=ROOT_MOUNT))
    assert plan.first.links
    assert outline.steps(plan)[1].startswith("hard-link 7 image layers")


@pytest.mark.parametrize(
    ("before", "diff"),
    [
        (None, "--- /dev/null\n+++ /f\n@@ -0,0 +1 @@\n+new\n"),
        (b"old\n", "--- /f\n+++ /f\n@@ -1 +1 @@\n-old\n+new\n"),
        (b"old", "--- /f\n+++ /f\n@@ -1 +1 @@\n-old\n\\ No newline at end of file\n+new\n"),
        (b"new\n", ""),
        (b"\xff\n", "--- /f\n+++ /f\n@@ -1 +1 @@\n-\N{REPLACEMENT CHARACTER}\n+new\n"),
    ],
)
def test_a_diff_is_what_diff_shows(before: bytes | None, diff: str) -> None:
    assert FileEdit("/f", before, b"new\n").diff() == diff


def test_only_ephemeral_containers_are_lost() -> None:
    boxes = (
        container("web"),
        container("paused", Status.PAUSED),
        container("done", Status.EXITED),
        container("rm", auto_remove=True),
        container("rm-done", Status.EXITED, auto_remove=True),
    )
    assert fates(boxes) == {
        "web": "stops and is running again after the move",
        "paused": "stops and is paused again after the move",
        "done": "stays exited",
        "rm": "is removed by the engine when it stops (--rm)",
        "rm-done": "stays exited",
    }


def test_a_plan_that_an_older_version_has_stored_can_be_read() -> None:
    plan = make(GOOD)
    known = {name: value for name, value in to_json(plan).items() if name not in ("awaited", "rules")}
    assert from_json(Plan, json.loads(json.dumps(known))) == plan
