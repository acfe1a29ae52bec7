"""Where SELinux is on: the rule that makes the new path like the one the policy knows, and what refuses a target."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from entrypoint.commands import rollback, survey
from entrypoint.console.errors import ExitCode, HostCommandError
from entrypoint.console.events import Phase
from entrypoint.console.findings import Severity
from entrypoint.host import selinux
from entrypoint.host.children import Result
from entrypoint.host.disks.filesystem import Mount
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.host.host import Host
from entrypoint.host.selinux import SELinux, with_rule
from entrypoint.move.steps import STEPS
from entrypoint.plan import outline
from entrypoint.plan.plan import Plan
from entrypoint.preflight import probe
from entrypoint.preflight.checks import selinux as selinux_checks
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.preflight import check, check_adoption
from entrypoint.settings.edits import merged
from tests.unit.move.dying.test_crash_points import Failing
from tests.unit.support.good_facts import DATA_MOUNT, GOOD, ROOT_MOUNT, RW, make, mount, with_target
from tests.unit.support.world import RULE, RULES, TARGET, World, make_world

PLACE = PurePosixPath(RULES)
FILE = HostFile(PLACE, b"/srv/www /var/www\n", True, True, PLACE.parent)
DATA = PurePosixPath("/mnt/data/docker")
LABEL = b"system_u:object_r:container_var_lib_t:s0\0"
LABELLED = mount("/mnt/data", "8:17", "ext4", RW | {"seclabel"})


def enforcing(selinux: SELinux | None = None, on: Mount = LABELLED, target: str = str(DATA)) -> HostFacts:
    path = PurePosixPath(target)
    found = selinux or SELinux(enforcing=True, label=LABEL, rules=FILE)
    return with_target(replace(GOOD, selinux=found), mount=on, path=path, resolved=path)


def rules(**facts: Any) -> SELinux:
    return SELinux(enforcing=True, label=LABEL, rules=replace(FILE, **facts))


def ids(facts: HostFacts) -> list[str]:
    return [finding.id for finding in check(facts)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b"/mnt/data/docker /var/lib/docker\n"),
        (b"", b"/mnt/data/docker /var/lib/docker\n"),
        (b"/srv/www /var/www", b"/srv/www /var/www\n/mnt/data/docker /var/lib/docker\n"),
        (b"/mnt/data/docker /srv\n# kept\n", b"# kept\n/mnt/data/docker /var/lib/docker\n"),
        (b"/mnt/data/docker2 /srv\n", b"/mnt/data/docker2 /srv\n/mnt/data/docker /var/lib/docker\n"),
        (
            b"/var/lib/docker /mnt/data/docker\n",
            b"/var/lib/docker /mnt/data/docker\n/mnt/data/docker /var/lib/docker\n",
        ),
        (b"/\xff /srv\n", b"/\xff /srv\n/mnt/data/docker /var/lib/docker\n"),
    ],
)
def test_the_rule_says_that_the_new_path_is_like_the_one_that_is_known(before: bytes | None, after: bytes) -> None:
    assert with_rule(before, DATA) == after
    assert with_rule(after, DATA) == after


@pytest.mark.parametrize("there", [b"/mnt/data/docker /var/lib/docker\n", b" /mnt/data/docker\t/var/lib/docker\n/a /b"])
def test_a_rule_that_is_there_is_nobodys_edit(there: bytes) -> None:
    assert with_rule(there, DATA) == there
    assert make(enforcing(rules(content=there))).rules == ()


def test_another_root_has_a_rule_of_its_own() -> None:
    model = PurePosixPath("/var/lib/containerd")
    assert with_rule(None, PurePosixPath("/mnt/c"), model) == b"/mnt/c /var/lib/containerd\n"


def test_the_root_that_the_policy_knows_needs_none() -> None:
    assert with_rule(b"/a /b\n", selinux.MODEL) == b"/a /b\n"
    assert make(enforcing(target="/var/lib/docker")).rules == ()


def test_the_plan_has_the_rule_and_says_it() -> None:
    plan = make(enforcing())
    assert from_json(Plan, to_json(plan)) == plan
    (edit,) = plan.rules
    assert (edit.path, edit.before, edit.created) == (RULES, FILE.content, ())
    assert edit.after == b"/srv/www /var/www\n/mnt/data/docker /var/lib/docker\n"
    assert any(RULES in step for step in outline.steps(plan))


@pytest.mark.parametrize(
    "facts",
    [
        GOOD,
        enforcing(rules(writable=False)),
        enforcing(rules(ancestor=PurePosixPath("/etc"))),
        enforcing(rules(is_file=False)),
        enforcing(target="/mnt/data/my docker"),
    ],
)
def test_without_a_place_for_it_there_is_no_rule(facts: HostFacts) -> None:
    assert make(facts).rules == ()


FOUND: tuple[tuple[str, HostFacts], ...] = (
    ("target-labels", enforcing(on=mount("/mnt/data", "8:17", "ext4", RW | {"context=system_u:object_r:var_t:s0"}))),
    ("target-labels", enforcing(on=DATA_MOUNT)),
    ("selinux-name", enforcing(target="/mnt/data/my docker")),
    ("selinux-name", enforcing(target="/mnt/data/my\N{NO-BREAK SPACE}docker")),
    ("selinux-rule", enforcing(rules(writable=False))),
    ("selinux-rule", enforcing(rules(ancestor=PurePosixPath("/etc")))),
)


@pytest.mark.parametrize(("expected", "facts"), FOUND, ids=[f"{id}-{number}" for number, (id, _) in enumerate(FOUND)])
def test_a_fault_is_found_and_nothing_else(expected: str, facts: HostFacts) -> None:
    assert ids(facts) == [expected]
    assert expected in [finding.id for finding in check_adoption(facts, None)]
    assert ids(replace(facts, selinux=None)) == []


def test_a_permissive_host_is_told_the_same_for_it_will_be_enforcing_again() -> None:
    facts = enforcing(on=DATA_MOUNT)
    assert facts.selinux is not None
    assert ids(replace(facts, selinux=replace(facts.selinux, enforcing=False))) == ["target-labels"]


def test_what_refuses_and_what_does_not() -> None:
    levels = {finding.id: finding.severity for _, facts in FOUND for finding in check(facts)}
    assert levels == {
        "target-labels": Severity.ERROR,
        "selinux-name": Severity.ERROR,
        "selinux-rule": Severity.WARNING,
    }


def test_the_message_names_the_option_that_takes_the_labels_away() -> None:
    (found,) = check(FOUND[0][1])
    assert "context=system_u:object_r:var_t:s0" in found.detail


def test_a_good_host_has_no_finding() -> None:
    assert ids(enforcing()) == []
    assert ids(enforcing(rules(content=None))) == []
    assert ids(enforcing(rules(writable=False), target="/var/lib/docker")) == []


def test_a_label_is_tried_where_the_kernel_says_that_it_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []

    def lacks(_host: Host, _path: PurePosixPath, label: bytes, *, overlay: bool) -> tuple[str, ...]:
        assert overlay
        tried.append(label)
        return ("SELinux labels (Permission denied)",)

    monkeypatch.setattr(probe, "lacks", lacks)
    for facts in (enforcing(), enforcing(on=DATA_MOUNT), GOOD):
        found = survey.tried(Host(), facts)
        assert "target-file-system" in ids(found)
    assert tried == [LABEL, b"", b""]


@dataclass(frozen=True)
class FakeHost(Host):
    """Its programs do nothing, or what they are told to."""

    made: list[tuple[str, ...]] = field(default_factory=list)
    fails: bool = False

    def run(self, argv: Sequence[str], *, timeout: float = 0, check: bool = True) -> Result:
        self.made.append(tuple(argv))
        if self.fails:
            raise HostCommandError("`restorecon` failed with code 255.")
        return Result(tuple(argv), 0, "", "")


def make_host(root: Path, config: str | None = "SELINUXTYPE=mcs\n", enforce: str = "1") -> FakeHost:
    for name, text in ((selinux.SWITCH, enforce), (selinux.CONFIG, config), ("/usr/sbin/restorecon", "")):
        if text is not None:
            place = root / name.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
            place.chmod(0o755)
    return FakeHost(root)


def test_a_host_without_it_has_no_facts_of_it(tmp_path: Path) -> None:
    assert selinux.look(Host(tmp_path), PurePosixPath("/"), (ROOT_MOUNT,)) is None


@pytest.mark.parametrize(
    ("config", "policy"),
    [
        ("SELINUX=enforcing\nSELINUXTYPE=mcs\n", "mcs"),
        ("# SELINUXTYPE=no\n SELINUXTYPE = default \nSELINUXTYPEX=no\n", "default"),
        ("SELINUXTYPE=one\nSELINUXTYPE=two", "two"),
        ("", "targeted"),
        (None, "targeted"),
    ],
)
def test_the_rules_are_those_of_the_policy_that_the_host_names(tmp_path: Path, config: str | None, policy: str) -> None:
    host = make_host(tmp_path, config)
    folder = tmp_path / f"etc/selinux/{policy}/contexts/files"
    folder.mkdir(parents=True)
    found = selinux.look(host, PurePosixPath("/"), (ROOT_MOUNT,))
    assert found is not None
    assert found.has_rules
    assert str(found.rules.path) == f"/etc/selinux/{policy}/contexts/files/file_contexts.subs"
    folder.rmdir()
    without = selinux.look(host, PurePosixPath("/"), (ROOT_MOUNT,))
    assert without is not None
    assert not without.has_rules


@pytest.mark.parametrize(("enforce", "expected"), [("1", True), ("1\n", True), ("0", False)])
def test_whether_it_enforces_is_read_from_the_kernel(tmp_path: Path, enforce: str, expected: bool) -> None:
    found = selinux.look(make_host(tmp_path, "SELINUX=permissive\n", enforce), PurePosixPath("/"), (ROOT_MOUNT,))
    assert found is not None
    assert found.enforcing is expected


def test_directories_that_were_made_are_labelled_by_the_hosts_program(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    selinux.label_directories(host, ["/srv/new"])
    selinux.label_directories(host, [])
    assert host.made == [("restorecon", "--", "/srv/new")]


def test_without_the_program_or_selinux_they_stay_as_the_kernel_makes_them(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    (tmp_path / "usr/sbin/restorecon").unlink()
    selinux.label_directories(host, ["/srv/new"])
    (tmp_path / "usr/sbin/restorecon").touch(0o755)
    (tmp_path / selinux.SWITCH.lstrip("/")).unlink()
    selinux.label_directories(host, ["/srv/new"])
    assert host.made == []


def test_a_directory_that_cannot_be_labelled_ends_no_move(tmp_path: Path) -> None:
    host = replace(make_host(tmp_path), fails=True)
    selinux.label_directories(host, ["/srv/new"])
    assert len(host.made) == 1


A, B, OURS = b"/a /x\n", b"/b /y\n", b"/t /model\n"


@pytest.mark.parametrize(
    ("now", "before", "after", "expected"),
    [
        (A, A, A + OURS, A + OURS),
        (None, None, OURS, OURS),
        (A + B, A, A + OURS, A + B + OURS),  # somebody has added a rule since the plan
        (A + OURS, A, A + OURS, A + OURS),  # or ours
        (A + B + OURS, A + OURS, A, A + B),  # and, when it is taken back
        (OURS + A + B, A + OURS, A, A + B),
        (A + B, A + OURS, A, A + B),  # or has taken ours out
        (A + OURS, OURS, None, A),
        (OURS, OURS, None, None),
        (b"/t /old\n" + B, b"/t /old\n", OURS, B + OURS),
        (OURS + B, OURS, b"/t /old\n", B + b"/t /old\n"),
    ],
)
def test_only_our_lines_are_made_and_taken_back(
    now: bytes | None, before: bytes | None, after: bytes | None, expected: bytes | None
) -> None:
    assert merged(now, before, after) == expected


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(tmp_path, monkeypatch)


def test_the_rule_is_there_before_the_engine_starts_and_stays(world: World) -> None:
    seen: list[bytes] = []
    world.calls.moments["start"] = lambda: seen.append(world.path(RULES).read_bytes())
    assert world.work() is ExitCode.DONE
    assert seen == [world.path(RULES).read_bytes()] == [b"/srv/www /var/www\n" + RULE]


def test_a_rollback_takes_it_back_and_leaves_what_others_have_written(world: World) -> None:
    def by_another() -> None:
        with world.path(RULES).open("ab") as file:
            file.write(b"/late /home\n")

    world.calls.moments["start"] = by_another
    steps = [Failing(step) if step.name is Phase.START else step for step in STEPS]
    assert world.serving_nobody().work(steps) is ExitCode.ROLLED_BACK
    assert world.path(RULES).read_bytes() == b"/srv/www /var/www\n/late /home\n"


def test_rules_that_were_changed_since_the_plan_end_no_move(world: World) -> None:
    world.path(RULES).write_bytes(b"/other /home\n")
    assert world.work() is ExitCode.DONE
    assert world.path(RULES).read_bytes() == b"/other /home\n" + RULE


def test_going_back_takes_the_rule_along() -> None:
    made = make(enforcing())
    back = rollback.plan_back(GOOD, made, lambda edit: edit.after)
    assert [(one.before, one.after) for one in back.rules] == [(made.rules[0].after, made.rules[0].before)]
    assert str(DATA) == made.first.target
    assert TARGET not in str(back.rules)


def test_the_label_is_that_of_the_root_and_nothing_where_there_is_none(tmp_path: Path) -> None:
    host = Host(tmp_path)
    assert selinux.label_of(host, PurePosixPath("/none")) == b""
    assert selinux_checks.label_to_try(enforcing(), enforcing().first) == LABEL
