"""Whose a container is: a unit's that names it, or runs its project; an agent's, by its labels."""

import pytest

from entrypoint.engine.containers.owners import FILES, FOLDER, PROJECT, Runner, owners

DOCKER = "/usr/bin/docker"
LABELS = {
    "app": {},
    "web-1": {PROJECT: "shop", FILES: "/srv/shop/compose.yaml,/srv/shop/more.yaml", FOLDER: "/srv/shop"},
    "task": {"com.amazonaws.ecs.task-arn": "arn"},
    "pod": {"io.kubernetes.pod.uid": "1", PROJECT: "shop2", FOLDER: "/srv/other"},
}
AGENTS = {"task": "the agent of Amazon ECS", "pod": "Kubernetes (kubelet)"}

COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "run --name": ((DOCKER, "run", "--rm", "--name", "app", "-p", "80:80", "busybox"), "app"),
    "run --name=": ((DOCKER, "container", "run", "--name=app", "busybox", "start", "web-1"), "app"),
    "with docker's own options": ((DOCKER, "-H", "unix:///run/docker.sock", "--tls", "run", "--name=app", "x"), "app"),
    "start -a": ((DOCKER, "start", "-a", "app"), "app"),
    "start with options that take a word": ((DOCKER, "start", "--detach-keys", "ctrl-c", "-i", "app"), "app"),
    "by a shell": (("/bin/sh", "-c", "sleep 1; exec docker run --name app busybox && true"), "app"),
    "by an environment": (("/usr/bin/env", "A=1", "docker", "run", "--name", "app", "busybox"), "app"),
    "the second of a shell's": (("/bin/sh", "-c", "docker rm app; docker start app"), "app"),
    "an image that is called docker": ((DOCKER, "run", "--name", "app", "docker", "start", "web-1"), "app"),
    "compose in its directory": ((DOCKER, "compose", "up"), "web-1"),
    "compose by its file": ((DOCKER, "compose", "-f", "compose.yaml", "up", "-d"), "web-1"),
    "compose by its project": (("/usr/bin/docker-compose", "--project-name=shop", "--profile", "a", "up"), "web-1"),
    "compose elsewhere": ((DOCKER, "compose", "--project-directory", "/srv/none", "up"), ""),
    "compose of another project": ((DOCKER, "compose", "-p", "other", "up"), ""),
    "compose down": ((DOCKER, "compose", "down"), ""),
    "rm": ((DOCKER, "rm", "--force", "app"), ""),
    "exec": ((DOCKER, "exec", "app", "start", "app"), ""),
    "another's name": ((DOCKER, "run", "--name", "other", "app"), ""),
    "no command of docker": (("/usr/bin/true", "app"), ""),
    "a text that is none of a shell's": (("/bin/sh", "-c", "docker run --name 'app"), ""),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_unit_owns_what_its_command_names(name: str) -> None:
    command, container = COMMANDS[name]
    found = owners([Runner("app.service", (("/usr/bin/true",), command), "/srv/shop")], LABELS)
    assert found == AGENTS | ({container: "app.service"} if container else {})


def test_without_units_an_agent_owns_what_has_its_label() -> None:
    assert owners([], LABELS) == AGENTS


def test_a_unit_comes_before_an_agent() -> None:
    assert owners([Runner("one.service", ((DOCKER, "start", "task"),))], LABELS)["task"] == "one.service"


def test_a_unit_that_starts_nowhere_owns_no_project_by_its_directory() -> None:
    assert owners([Runner("one.service", ((DOCKER, "compose", "up"),))], LABELS) == AGENTS
