"""The host script, under the shells that hosts have, with programs in the place of docker and systemctl."""

import json
import os
import pty
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from entrypoint import __version__
from entrypoint.commands.line import options
from entrypoint.commands.printed import script

SHELLS = {"dash": ("dash",), "busybox": ("busybox", "sh"), "bash": ("bash", "--posix")}
# Answers by what it is asked, and notes it; `run` ends with the next of the codes.
DOCKER = """#!/bin/sh
echo "$*" >>"{here}/asked"
case $1 in
    run) for word; do last=$word; done; read -r code rest <"{here}/codes"; sed -i '1d' "{here}/codes"
         echo "said by $last"; [ ! -e "{here}/interrupt" ] || kill -INT "$PPID"; exit "$code" ;;
    context) cat "{here}/context" 2>/dev/null || exit 1 ;;
    version) [ ! -e "{here}/down" ] || {{ cat "{here}/down" >&2; exit 1; }} ;;
    inspect) cat "{here}/running" 2>/dev/null || exit 1 ;;
    wait) rm -f "{here}/running"; cat "{here}/waited" ;;
    image) [ -e "{here}/image" ] ;;
esac
"""
# At work as often as there are lines of the worker's to come; it writes one each time it is asked.
SYSTEMCTL = """#!/bin/sh
read -r line <"{here}/to-come" || {{ echo inactive; exit 3; }}
sed -i '1d' "{here}/to-come"
printf '%s\\n' "$line" >>"{here}/runs/000002/log.jsonl"
echo active
"""
PHASES = ("freeze", "switch", "verify")


class Desk:
    """A place with the fakes, and the journal of a run that hands over."""

    def __init__(self, place: Path, shell: Sequence[str]) -> None:
        self.place, self.shell = place, shell
        for folder in ("bin", "runs/000001", "runs/000002", "runs/000003.aside"):
            (place / folder).mkdir(parents=True)
        for name, text in (("docker", DOCKER), ("systemctl", SYSTEMCTL)):
            (place / "bin" / name).write_text(text.format(here=place))
            (place / "bin" / name).chmod(0o755)
        self.put("to-come", "")
        self.put("asked", "")

    def put(self, name: str, text: str) -> None:
        (self.place / name).write_text(text)

    def hand_over(self, *outcome: str) -> None:
        self.put("to-come", "".join(json.dumps({"event": "phase.started", "phase": one}) + "\n" for one in PHASES))
        self.put("runs/000002/log.jsonl", "")
        records = [{"event": "begun"}, *({"event": "outcome", "outcome": one} for one in outcome)]
        self.put("runs/000002/journal.jsonl", "".join(json.dumps(one) + "\n" for one in records))

    def run(
        self, *arguments: str, codes: str, variables: dict[str, str] | None = None, name: str = "relocate"
    ) -> tuple[int, str]:
        """As `… script >NAME && sh NAME ARGUMENTS`."""
        self.put(name, self.text())
        return self.start([*self.shell, name, *arguments], codes, variables)

    def text(self) -> str:
        text = script.text().replace("/var/lib/relocator/runs", f"{self.place}/runs")
        return text.replace("/etc/systemd/system/", f"{self.place}/units/")

    def start(
        self, argv: Sequence[str], codes: str, variables: dict[str, str] | None = None, given: str | None = None
    ) -> tuple[int, str]:
        self.put("codes", codes.replace(" ", "\n") + "\n")
        environment = {"PATH": f"{self.place}/bin:{os.environ['PATH']}", **(variables or {})}
        done = subprocess.run(
            argv, input=given, capture_output=True, text=True, env=environment, timeout=60, check=False, cwd=self.place
        )
        return done.returncode, done.stdout + done.stderr

    def asked(self, verb: str) -> list[str]:
        return [line for line in (self.place / "asked").read_text().splitlines() if line.split()[0] == verb]


@pytest.fixture(params=SHELLS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    shell = SHELLS[request.param]
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]}")
    return Desk(tmp_path, shell)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
def test_nothing_is_said_against_it() -> None:
    done = subprocess.run(["shellcheck", "--shell=sh", script.SOURCE], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_the_image_and_its_version_stand_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELOCATOR_IMAGE", "example/relocator:1")
    assert "IMAGE=${RELOCATOR_IMAGE:-example/relocator:1}" in script.text()
    assert "@IMAGE@" not in script.text()
    assert "@VERSION@" not in script.text()


@pytest.mark.parametrize("code", [0, 2, 3, 4, 5, 6, 130])
def test_what_ends_with_the_engine_up_is_passed_on(desk: Desk, code: int) -> None:
    assert desk.run("/new path", "--checksum", codes=str(code)) == (code, "said by --checksum\n")
    (asked,) = desk.asked("run")
    assert "--privileged --pid=host --network=none" in asked
    assert asked.endswith(" relocator /new path --checksum")
    assert desk.asked("image") == []


@pytest.mark.parametrize("code", [0, 4, 5, 6])
def test_a_move_is_followed_to_its_outcome(desk: Desk, code: int) -> None:
    desk.hand_over()
    desk.put("image", "")
    told = desk.run("/new", codes=f"10 {code}")
    lines = [f'{{"event": "phase.started", "phase": "{name}"}}' for name in PHASES]
    assert told == (code, "\n".join(["said by /new", *lines, "said by --wait"]) + "\n")
    assert desk.asked("run")[1].endswith("relocator status --wait")


@pytest.mark.parametrize(
    ("outcome", "code"), [("committed", 0), ("rolled-back", 4), ("rollback-failed", 5), ("interrupted", 130)]
)
def test_without_the_image_on_the_new_root_the_journal_tells(desk: Desk, outcome: str, code: int) -> None:
    desk.hand_over(outcome)
    told = desk.run("/new", codes="10")
    assert told[0] == code
    assert outcome in told[1]


@pytest.mark.parametrize("runs", [False, True])
def test_without_an_engine_that_has_the_image_the_way_back_by_hand_is_told(desk: Desk, runs: bool) -> None:
    desk.hand_over("rollback-failed")
    if not runs:  # when the worker has ended
        systemctl, ends = desk.place / "bin/systemctl", "echo inactive"
        systemctl.write_text(systemctl.read_text().replace(ends, f"echo gone >{desk.place}/down; {ends}"))
    back = desk.place / "runs/000002/back/back.sh"
    back.parent.mkdir()
    back.touch()
    code, said = desk.run("/new", codes="10")
    assert code == 5
    assert ("Why it does not start: journalctl -u docker.service" in said) is not runs
    assert ("The engine runs" in said) is runs
    assert f"\n    sh {back} now\n" in said


def test_an_engine_that_does_not_answer_in_the_end_is_no_success(desk: Desk) -> None:
    desk.hand_over("rollback-failed")
    desk.put("image", "")
    assert desk.run("/new", codes="10 125")[0] == 5


def test_a_client_that_lost_its_container_waits_for_it(desk: Desk) -> None:
    desk.put("running", "true\n")
    desk.put("waited", "3\n")
    assert desk.run("/new", codes="1")[0] == 3


@pytest.mark.parametrize("words", [("/new",), ("check", "/new"), ("status",)])
def test_an_interrupt_is_told_on_a_line_of_its_own_with_what_was_changed(desk: Desk, words: tuple[str, ...]) -> None:
    """The client goes with the interrupt, and with it whatever the container says."""
    desk.put("interrupt", "")
    desk.put("running", "true\n")
    desk.put("waited", "130\n")
    code, said = desk.run(*words, codes="1")
    assert (code, said.splitlines()[-1]) == (130, "Interrupted. Nothing was changed.")
    assert "removed" not in said


@pytest.mark.parametrize(
    ("words", "variables", "given"),
    [
        (("/new", "--hold"), {}, True),
        (("/new", "--at=03:00"), {}, True),
        (("--max-downtime", "9s", "/new"), {}, True),
        (("/new",), {"RELOCATOR_HOLD": "1"}, True),
        (("/new", "--bwlimit=5m"), {}, False),
        (("status",), {}, False),
    ],
)
def test_only_a_run_that_waits_for_a_key_is_given_the_keyboard(
    desk: Desk, words: tuple[str, ...], variables: dict[str, str], given: bool
) -> None:
    desk.put("relocate", desk.text())
    desk.put("codes", "3\n")
    outer, inner = pty.openpty()
    environment = {"PATH": f"{desk.place}/bin:{os.environ['PATH']}", **variables}
    try:
        done = subprocess.run([*desk.shell, "relocate", *words], stdin=inner, stdout=inner, stderr=inner,
                              env=environment, timeout=60, check=False, cwd=desk.place)  # fmt: skip
    finally:
        os.close(inner)
        os.close(outer)
    assert done.returncode == 3
    (asked,) = desk.asked("run")
    assert ("--tty" in asked.split(), "--interactive" in asked.split()) == (True, given)


def test_in_a_pipe_no_key_is_waited_for(desk: Desk) -> None:
    assert desk.run("/new", "--hold", codes="3")[0] == 3
    (asked,) = desk.asked("run")
    assert "--interactive" not in asked


def test_an_interrupt_that_comes_too_late_is_no_interrupt_of_the_move(desk: Desk) -> None:
    desk.put("interrupt", "")
    desk.put("running", "true\n")
    desk.put("waited", "10\n")
    desk.hand_over()
    code, said = desk.run("/new", codes="1")
    assert (code, "the move goes on" in said, "Nothing was changed" in said) == (10, True, False)


def test_a_client_that_lost_its_engine_follows_all_the_same(desk: Desk) -> None:
    desk.hand_over("committed")
    assert desk.run("/new", codes="125")[0] == 0


def test_a_client_that_could_not_start_anything_is_passed_on(desk: Desk) -> None:
    assert desk.run("/new", codes="125")[0] == 125


ELSEWHERE = ["ssh://there", "ssh://me@there:22", "tcp://192.0.2.1:2375", "tcp://[2001:db8::1]:2375", "http://there:1/x"]
HERE = [
    *("", "unix:///run/docker.sock", "unix:///home/me/docker.sock", "tcp://127.0.0.1:2375", "tcp://localhost:2376"),
    *("ssh://localhost", "ssh://me@localhost:22", "tcp://[::1]:2375", "ssh://127.0.1.1", "fd://"),
]


@pytest.mark.parametrize("at", ELSEWHERE)
@pytest.mark.parametrize("by", ["variable", "context"])
def test_an_engine_of_another_host_is_refused(desk: Desk, at: str, by: str) -> None:
    if by == "context":
        desk.put("context", f"{at}\n")
    code, said = desk.run("/new", codes="0", variables={"DOCKER_HOST": at} if by == "variable" else {})
    assert (code, desk.asked("run")) == (2, [])
    assert f"another host, {at}" in said
    assert "Nothing was done" in said


@pytest.mark.parametrize("at", HERE)
@pytest.mark.parametrize("by", ["variable", "context"])
def test_the_engine_of_this_host_is_none_of_another(desk: Desk, at: str, by: str) -> None:
    if by == "context":
        desk.put("context", f"{at}\n")
    assert desk.run("/new", codes="3", variables={"DOCKER_HOST": at} if by == "variable" else {})[0] == 3
    assert len(desk.asked("run")) == 1


def test_a_variable_comes_before_the_context(desk: Desk) -> None:
    """As docker itself does it."""
    desk.put("context", "ssh://there\n")
    assert desk.run("/new", codes="3", variables={"DOCKER_HOST": "unix:///run/docker.sock"})[0] == 3


def test_the_image_is_given_the_options_of_the_environment(desk: Desk) -> None:
    """By their names: docker takes the values, and leaves out what is not set."""
    desk.run("/new", codes="3", variables={"RELOCATOR_BWLIMIT": "50m"})
    (asked,) = desk.asked("run")
    assert all(f" --env {variable} " in asked for variable in options.VARIABLES)
    assert asked.endswith(" relocator /new")


def test_the_image_is_told_which_boot_it_is_called_on(desk: Desk) -> None:
    """An engine at the end of a tunnel has an address of this host."""
    desk.run("/new", codes="3")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert f" --env=RELOCATOR_BOOT={boot} " in desk.asked("run")[0]


@pytest.mark.parametrize("said", ["Cannot connect to the Docker daemon", ""])
def test_an_engine_that_does_not_run_is_told_in_our_words(desk: Desk, said: str) -> None:
    desk.put("down", f"{said}\n")
    for words in (("/new",), ("check", "/new"), ("status",), ("status", "--wait"), ("rollback",)):
        shutil.rmtree(desk.place / "runs", ignore_errors=True)
        code, told = desk.run(*words, codes="0")
        assert (code, desk.asked("run")) == (3, [])
        assert "systemctl start docker" in told
        assert "daemon" not in told


def test_one_who_may_not_ask_the_engine_is_told_so(desk: Desk) -> None:
    desk.put("down", "permission denied while trying to connect to the Docker daemon socket\n")
    code, told = desk.run("/new", codes="0")
    assert (code, "group docker" in told, "start docker" in told) == (2, True, False)


# --- a script that was not written to its end -----------------------------------------------------------------------


def test_of_a_script_that_was_cut_off_nothing_is_done_and_it_is_an_error(desk: Desk) -> None:
    whole = desk.text()
    ends = [length for length in range(len(whole) - 2) if whole[:length].count("\n") > 1]
    for length in [*ends[:: len(ends) // 40], ends[-1]]:
        desk.put("relocate", whole[:length])
        code, said = desk.start([*desk.shell, "relocate", "/new"], "0")
        assert code != 0, length
        assert desk.asked("run") == [], length
        assert said
    assert desk.run("/new", codes="0")[0] == 0


# --- how it is called again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode", "words", "called"),
    [
        ("relocate", 0o644, ("{shell}", "relocate"), "sh relocate"),
        ("relocate", 0o755, ("{shell}", "relocate"), "sh relocate"),
        ("relocate", 0o644, ("{shell}", "{here}/relocate"), "sh {here}/relocate"),
        ("relocate", 0o755, ("{here}/relocate",), "{here}/relocate"),
        ("docker-relocate", 0o755, ("{here}/docker-relocate", "relocate"), "docker relocate"),
        ("docker-relocate", 0o755, ("{here}/docker-relocate",), "docker relocate"),
        ("my script", 0o755, ("{here}/my script",), "docker run --rm --privileged --pid=host relocator"),
        ("", 0, ("{shell}", "-s", "--"), "docker run --rm --privileged --pid=host relocator"),
    ],
)
def test_the_image_is_told_how_one_calls_it(
    desk: Desk, name: str, mode: int, words: tuple[str, ...], called: str
) -> None:
    if name:
        desk.put(name, desk.text())
        (desk.place / name).chmod(mode)
    argv = [part for word in words for part in (desk.shell if word == "{shell}" else [word.format(here=desk.place)])]
    assert desk.start([*argv, "/new"], "3", given=desk.text())[0] == 3
    (asked,) = desk.asked("run")
    assert f" --env RELOCATOR_CALLED={called.format(here=desk.place)} --env=" in asked
    assert asked.endswith(" relocator /new")


@pytest.mark.parametrize(
    ("given", "variables"),
    [
        ("--context there relocate /new", {}),
        ("-c there relocate /new", {}),
        ("--context=there relocate /new", {"DOCKER_HOST": "unix:///run/docker.sock"}),
    ],
)
def test_a_context_that_docker_was_given_is_the_plugins_too(desk: Desk, given: str, variables: dict[str, str]) -> None:
    desk.put("context", "ssh://there\n")
    code, said = desk.run(*given.split(), codes="0", variables=variables, name="docker-relocate")
    assert (code, "ssh://there" in said, desk.asked("run")) == (2, True, [])


@pytest.mark.parametrize(
    ("given", "code"), [("-H ssh://there relocate /new", 2), ("--host=unix:///x relocate /new", 3),
                        ("-D relocate /new", 3), ("--tls relocate /new", 2), ("--bwlimit=5m /new", 3)]
)  # fmt: skip
def test_what_docker_was_given_is_not_taken_for_ours(desk: Desk, given: str, code: int) -> None:
    assert desk.run(*given.split(), codes="3", name="docker-relocate")[0] == code
    for asked in desk.asked("run"):
        assert asked.endswith(" relocator /new" if "relocate" in given else " relocator --bwlimit=5m /new")


# --- status ---------------------------------------------------------------------------------------------------------


def test_status_alone_waits_for_nothing(desk: Desk) -> None:
    desk.hand_over()
    assert desk.run("status", codes="10") == (10, "said by status\n")
    assert len(desk.asked("run")) == 1


def test_a_look_that_the_engine_took_along_is_no_code_of_another_program(desk: Desk) -> None:
    desk.hand_over()
    code, said = desk.run("status", codes="143")
    assert (code, "the engine is away" in said) == (10, True)


def test_waiting_goes_on_where_the_container_had_to_leave(desk: Desk) -> None:
    """Begun during the copy: then no unit is there, and afterwards it is."""
    desk.hand_over()
    lines = (desk.place / "to-come").read_text().splitlines()
    desk.put("to-come", "")
    docker = (desk.place / "bin/docker").read_text()
    come = "".join(f"echo '{line}' >>\"{desk.place}/to-come\"; " for line in lines)
    desk.put("bin/docker", docker.replace('echo "said by', f'[ "$code" != 10 ] || {{ {come} }}; echo "said by'))
    assert desk.run("status", "--wait", codes="10 4") == (4, "said by --wait\n")
    assert len(desk.asked("run")) == 2


@pytest.mark.parametrize(("words", "variables"), [(("status", "--wait"), {}), (("status",), {"RELOCATOR_WAIT": "1"})])
def test_waiting_while_the_engine_is_away_asks_it_for_nothing(
    desk: Desk, words: tuple[str, ...], variables: dict[str, str]
) -> None:
    desk.hand_over()
    assert desk.run(*words, codes="0", variables=variables) == (0, f"said by {words[-1]}\n")
    assert (desk.place / "to-come").read_text() == ""


@pytest.mark.parametrize("verb", ["status", "check", "rollback", "go", "abort", "pause", "resume", "limit"])
def test_while_the_engine_is_away_it_says_so(desk: Desk, verb: str) -> None:
    desk.hand_over()
    desk.put("down", "no daemon\n")
    code, said = desk.run(verb, codes="0")
    assert (code, desk.asked("run"), "the engine is away" in said) == (10, [], True)


def test_called_again_while_the_engine_is_away_it_follows(desk: Desk) -> None:
    desk.hand_over("committed")
    desk.put("down", "no daemon\n")
    code, said = desk.run("/new", codes="0")
    assert (code, desk.asked("run"), "committed" in said) == (0, [], True)


def test_a_move_that_ended_with_no_engine_is_told_by_its_journal(desk: Desk) -> None:
    desk.hand_over("rollback-failed")
    desk.put("to-come", "")
    desk.put("down", "no daemon\n")
    code, said = desk.run("status", codes="0")
    assert (code, "rollback-failed" in said) == (5, True)


@pytest.mark.parametrize("outcome", ["committed", "moved", "rolled-back"])
def test_a_status_is_of_now_and_no_engine_answers(desk: Desk, outcome: str) -> None:
    """It is what the image says of an engine that is down, where that can still be started."""
    desk.hand_over(outcome)
    desk.put("to-come", "")
    desk.put("down", "no daemon\n")
    code, said = desk.run("status", codes="0")
    assert (code, outcome in said, "docker.service is inactive" in said) == (5, True, True)
    assert "systemctl start docker" in said


def test_the_engines_unit_is_told_by_its_own_name(desk: Desk) -> None:
    (desk.place / "units").mkdir()
    desk.put("units/boot.service", "[Service]\nExecStart=/usr/bin/true\n")
    desk.put("units/engine.service", "[Service]\nExecStart=/usr/bin/dockerd -H fd://\n")
    desk.put("down", "no daemon\n")
    code, said = desk.run("check", codes="0")
    assert (code, "engine.service is inactive" in said, "systemctl start engine " in said) == (3, True, True), said


def test_docker_takes_it_for_a_plugin(desk: Desk) -> None:
    code, said = desk.run("docker-cli-plugin-metadata", codes="0")
    assert code == 0
    told = json.loads(said)
    assert (told["SchemaVersion"], told["Version"]) == ("0.1.0", __version__)
    assert told["Vendor"]
