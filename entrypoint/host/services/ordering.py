"""The drop-ins that make a service wait for the disks of its roots, and not start without them; and its socket.

A socket that listens while the service waits lets every client wait with it, and starts it again for them for as long
as the disk is missing: the boot would never be done. So it listens only where the roots are, and whoever asks without
them is told so by the kernel, at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

DROP_IN = "50-relocator.conf"  # of a service, and of what wakes it
SPECIAL_IN_UNITS = {"\\": "\\\\", '"': '\\"', "%": "%%"}
DATA_ROOT, IMAGES = "the data root", "containerd's root"
# By default a socket comes before sockets.target, and all of the boot would wait for the disk with it. Without that it
# is not held up by the rest of the boot either: where the disk is there early, so is the socket, as ever.
LISTENS = """\
DefaultDependencies=no
After=systemd-sysusers.service
Conflicts=shutdown.target
Before=shutdown.target
"""
Form = Callable[..., bytes]


@dataclass(frozen=True)
class Guarded:
    """Which of an engine's roots its drop-in names."""

    data_root: bool = False
    images: bool = False


def ordering_drop_in(target: PurePosixPath, *others: PurePosixPath, what: str = DATA_ROOT) -> bytes:
    """A drop-in that makes the engine wait for the target's mounts, and not start where there is no root.

    A missing disk would else let dockerd make an empty root in the bare mount point, and start "fine" (for-linux 293).
    `others` are the roots of what it cannot do without; `what` names the target for people.
    """
    return _unit(what, (target, *others), "Assert")


def listening_drop_in(target: PurePosixPath, *others: PurePosixPath, what: str = DATA_ROOT) -> bytes:
    """A drop-in that makes the engine's socket wait for the same mounts, and not listen where there is no root.

    A condition, where the service has an assertion: the service, which requires the socket, is to say why for itself.
    """
    return _unit(what, (target, *others), "Condition", LISTENS)


def _unit(what: str, roots: tuple[PurePosixPath, ...], asks: str, more: str = "") -> bytes:
    lines = [f"# Written by relocator when it moved {what} to {roots[0]}", "[Unit]", *more.splitlines()]
    for root in roots:
        lines.append(f"RequiresMountsFor={quote_for_unit(str(root))}")
        lines.append(f"{asks}DirectoryNotEmpty={str(root).replace('%', '%%')}")
    return "".join(f"{line}\n" for line in lines).encode()


def quote_for_unit(path: str) -> str:
    """A path as one word of a unit file's list."""
    escaped = "".join(SPECIAL_IN_UNITS.get(char, char) for char in path)
    return f'"{escaped}"'


def guarded(
    content: bytes | None, data_root: PurePosixPath, images: PurePosixPath | None, form: Form = ordering_drop_in
) -> Guarded:
    """What a drop-in of the engine's, of this form, names of the roots that it has now, if it is one of ours."""
    forms = {form(data_root): Guarded(data_root=True)}
    if images:
        forms[form(data_root, images)] = Guarded(data_root=True, images=True)
        forms[form(images, what=IMAGES)] = Guarded(images=True)
    return forms.get(content, Guarded()) if content else Guarded()
