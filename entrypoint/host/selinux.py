"""SELinux: labels go along with the copy, and a rule keeps them when the host's files are labelled anew.

A policy knows the types of a data root at one path. Labelled anew anywhere else (restorecon, a relabelling at boot),
its files get those of any file, or none; the engine does not start then, or its containers die. The rule makes the
policy treat the new path like the one it knows. `semanage fcontext --add --equal` writes the same line into the same
file, in eleven seconds; it is in force at once, and stays when the policy is built anew.

Nothing in a root is ever labelled anew by us: restorecon takes from layers and volumes what the engine gave them, and
with -F the categories that keep containers apart.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath

from entrypoint.console.errors import HostCommandError
from entrypoint.console.events import log
from entrypoint.host.confined.entries import LABEL
from entrypoint.host.disks.filesystem import Mount
from entrypoint.host.disks.host_file import HostFile
from entrypoint.host.host import Host

SWITCH = "/sys/fs/selinux/enforce"
CONFIG = "/etc/selinux/config"
RULES = "/etc/selinux/{policy}/contexts/files/file_contexts.subs"
MODEL = PurePosixPath("/var/lib/docker")  # where policies expect a data root
MODELS = (MODEL, PurePosixPath("/var/lib/containerd"))  # and that of containerd
POLICY = re.compile(r"^[ \t]*SELINUXTYPE[ \t]*=[ \t]*(\S+)", re.MULTILINE)
DEFAULT_POLICY = "targeted"  # libselinux: selinux_config.c
CARRIES = "seclabel"  # the kernel's own word in mountinfo: a file there can be given a label


@dataclass(frozen=True)
class SELinux:
    """A host where it is on. `label` is that of the engine's root, `rules` the file of the host's own rules."""

    enforcing: bool
    label: bytes
    rules: HostFile

    @property
    def has_rules(self) -> bool:
        """Whether the policy is where the host says, and takes rules."""
        return self.rules.writable and self.rules.is_file and self.rules.ancestor == self.rules.path.parent


def look(host: Host, root: PurePosixPath, table: tuple[Mount, ...]) -> SELinux | None:
    """Nothing where it is off, or not there."""
    if not is_on(host):
        return None
    path = RULES.format(policy=policy(_text(host, CONFIG)))
    return SELinux(is_enforcing(host), label_of(host, root), HostFile.read(host, path, table))


def is_on(host: Host) -> bool:
    return host.path(SWITCH).exists()


def is_enforcing(host: Host) -> bool:
    return _text(host, SWITCH).strip() == "1"


def policy(config: str) -> str:
    """The policy that is in force, by the host's configuration; of two lines the last counts."""
    return next(reversed(POLICY.findall(config)), DEFAULT_POLICY)


def label_of(host: Host, path: PurePosixPath) -> bytes:
    """Empty for what has none."""
    with suppress(OSError):
        return os.getxattr(host.path(path), LABEL)
    return b""


def _text(host: Host, path: str) -> str:
    with suppress(OSError):
        return host.path(host.resolve(path)).read_text(errors="replace")
    return ""


def can_be_named(root: PurePosixPath) -> bool:
    """Whether a rule can name a path: blanks divide the words of a rule, and there is no way to write one."""
    return not any(char.isspace() for char in str(root))


def with_rule(content: bytes | None, root: PurePosixPath, model: PurePosixPath = MODEL) -> bytes | None:
    """The rules with the one for a root. Another rule for the same path goes, as semanage does it.

    The last rule that fits counts, so ours comes last. No comment: semanage drops those.
    """
    lines = (content or b"").decode("utf-8", "surrogateescape").splitlines()
    wanted = [str(root), str(model)]
    if root == model or wanted in (line.split() for line in lines):
        return content
    others = [line for line in lines if line.split()[:1] != wanted[:1]]
    return "".join(f"{line}\n" for line in (*others, " ".join(wanted))).encode("utf-8", "surrogateescape")


def label_directories(host: Host, directories: Sequence[str]) -> None:
    """Give directories that were made above a root the labels that the policy has for them, if it has any.

    Without the host's program they keep what the kernel gives to what is new: the type of the directory they are in.
    """
    if not directories or not is_on(host) or not host.program("restorecon"):
        return
    try:
        host.run(["restorecon", "--", *directories])
    except HostCommandError as error:
        log.warning("directories.unlabelled", why=error.text())
