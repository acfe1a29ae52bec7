"""Who a container belongs to, if not to the engine alone: a unit of the host that runs it, or an agent.

owner        how it is known
a unit       its command names the container: `docker run --name app`, `docker start app`, or the project that compose
             has labelled it with: `docker compose up`, by `-p`, by its files, or by the directory that it starts in
an agent     labels that only this agent gives

An owner starts its container again by itself, or makes it anew under the same name. A command in a script that a unit
starts is not seen.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

from entrypoint.host.services.manager import ServiceManager

PARTING = frozenset(";&|()<>")
SHELLS = frozenset({"sh", "bash", "dash", "ash", "busybox"})
DOCKER, COMPOSE = "docker", "docker-compose"
PROJECT, FILES, FOLDER = (
    f"com.docker.compose.project{part}" for part in ("", ".config_files", ".working_dir")
)  # docker/compose pkg/api/labels.go
# Options of `docker` before its command, of `docker compose` before its own, and of `docker start`, that take a word.
TAKES = {
    DOCKER: frozenset({"-H", "--host", "-c", "--context", "-l", "--log-level", "--config", "--tlscacert", "--tlscert",
                       "--tlskey"}),
    COMPOSE: frozenset({"-f", "--file", "-p", "--project-name", "--profile", "--project-directory", "--env-file",
                        "--ansi", "--progress", "--parallel"}),
    "start": frozenset({"--detach-keys", "--checkpoint", "--checkpoint-dir"}),
}  # fmt: skip
AGENTS = {
    "com.amazonaws.ecs.task-arn": "the agent of Amazon ECS",
    "io.kubernetes.pod.uid": "Kubernetes (kubelet)",
    "com.hashicorp.nomad.alloc_id": "Nomad",
    "supervisor_managed": "the supervisor of Home Assistant",
    "io.balena.supervised": "the supervisor of balena",
    "net.azure-devices.edge.owner": "Azure IoT Edge",
    "com.gitlab.gitlab-runner.managed": "GitLab Runner",
}


@dataclass(frozen=True)
class Runner:
    """A unit that is at work, with the words of its commands, and the directory that it starts in."""

    unit: str
    commands: tuple[tuple[str, ...], ...]
    folder: str = ""


@dataclass(frozen=True)
class Claim:
    """What a command runs: a container by its name, or a project of compose by one of three marks."""

    name: str = ""
    project: str = ""
    files: tuple[str, ...] = ()
    folder: str = ""

    def covers(self, name: str, labels: Mapping[str, str]) -> bool:
        if self.name or not labels.get(PROJECT):
            return self.name == name
        if self.project:
            return labels[PROJECT] == self.project
        if self.files:
            return bool({*labels.get(FILES, "").split(",")} & {*self.files})
        return bool(self.folder) and labels.get(FOLDER, "") == self.folder


def runners(systemd: ServiceManager) -> tuple[Runner, ...]:
    """The services that are at work now; one that was stopped does not start its container again."""
    units = map(systemd.unit, systemd.services_at_work())
    return tuple(Runner(one.name, (*one.commands, *one.before), one.folder) for one in units)


def owners(runners: Sequence[Runner], labels: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The owner of each container that has one, by its name; `labels` are those of all."""
    claims = [(runner.unit, claim) for runner in runners for claim in _claims(runner)]
    found = {name: agent for name, own in labels.items() for label, agent in AGENTS.items() if label in own}
    for name, own in labels.items():
        if unit := next((unit for unit, claim in claims if claim.covers(name, own)), ""):
            found[name] = unit
    return found


def _claims(runner: Runner) -> Iterator[Claim]:
    for command in runner.commands:
        for words in _calls(command):
            yield from _claims_of(words, runner.folder)


def _calls(command: Sequence[str]) -> Iterator[Sequence[str]]:
    """Each call of docker, from that word on: the command itself, or those in a shell's text."""
    words = list(command) or [""]
    if PurePosixPath(words[0]).name in SHELLS and "-c" in words[:-1]:
        words = _split(words[words.index("-c") + 1])
    for part in _parts(words):
        place = next((place for place, word in enumerate(part) if PurePosixPath(word).name in (DOCKER, COMPOSE)), None)
        if place is not None:
            yield part[place:]


def _parts(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """The commands that a shell parts."""
    part: list[str] = []
    for word in words:
        if word and set(word) <= PARTING:
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _split(text: str) -> list[str]:
    """The words of a shell's text, with what parts its commands as words of their own."""
    reader = shlex.shlex(text, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    try:
        return list(reader)
    except ValueError:
        return []


def _claims_of(call: Sequence[str], folder: str) -> Iterator[Claim]:
    program, words = PurePosixPath(call[0]).name, call[1:]
    if program == DOCKER:
        words = _after_options(words, TAKES[DOCKER])
        words = words[1:] if words[:1] == ["container"] else words
        if words[:1] != ["compose"]:
            yield from _by_name(words)
            return
        words = words[1:]
    verb = _after_options(words, TAKES[COMPOSE])
    if verb[:1] and verb[0] in ("up", "start", "run"):
        yield _of_project(words[: len(words) - len(verb)], folder)


def _after_options(words: Sequence[str], taking: frozenset[str]) -> list[str]:
    place = 0
    while place < len(words) and words[place].startswith("-"):
        place += 2 if words[place] in taking else 1
    return list(words[place:])


def _by_name(words: Sequence[str]) -> Iterator[Claim]:
    if words[:1] in (["run"], ["create"]):
        yield from (Claim(name=name) for name in _values(words, "--name"))
    elif words[:1] in (["start"], ["restart"]):
        rest = list(words[1:])
        while rest:
            rest = _after_options(rest, TAKES["start"])
            yield from (Claim(name=name) for name in rest[:1])
            rest = rest[1:]


def _values(words: Sequence[str], *options: str) -> list[str]:
    """What is given to an option, as a word of its own or behind `=`."""
    apart = [word for option, word in pairwise(words) if option in options]
    return apart + [word.partition("=")[2] for word in words if word.partition("=")[0] in options and "=" in word]


def _of_project(options: Sequence[str], folder: str) -> Claim:
    projects = _values(options, "-p", "--project-name")
    named = next(iter(_values(options, "--project-directory")), folder)
    files = tuple(str(PurePosixPath(folder or "/", one)) for one in _values(options, "-f", "--file"))
    return Claim(project=projects[0] if projects else "", files=files, folder=named)
