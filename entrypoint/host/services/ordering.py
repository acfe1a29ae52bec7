"""The drop-in that makes a service wait for the disks of its roots, and not start without them."""

from dataclasses import dataclass
from pathlib import PurePosixPath

DROP_IN = "50-relocator.conf"  # of a service, and of what wakes it
SPECIAL_IN_UNITS = {"\\": "\\\\", '"': '\\"', "%": "%%"}
DATA_ROOT, IMAGES = "the data root", "containerd's root"


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
    lines = [f"# Written by relocator when it moved {what} to {target}", "[Unit]"]
    for root in (target, *others):
        lines.append(f"RequiresMountsFor={quote_for_unit(str(root))}")
        lines.append(f"AssertDirectoryNotEmpty={str(root).replace('%', '%%')}")
    return "".join(f"{line}\n" for line in lines).encode()


def quote_for_unit(path: str) -> str:
    """A path as one word of a unit file's list."""
    escaped = "".join(SPECIAL_IN_UNITS.get(char, char) for char in path)
    return f'"{escaped}"'


def guarded(content: bytes | None, data_root: PurePosixPath, images: PurePosixPath | None) -> Guarded:
    """What an engine's drop-in names of the roots that it has now, if it is one of ours for these."""
    forms = {ordering_drop_in(data_root): Guarded(data_root=True)}
    if images:
        forms[ordering_drop_in(data_root, images)] = Guarded(data_root=True, images=True)
        forms[ordering_drop_in(images, what=IMAGES)] = Guarded(images=True)
    return forms.get(content, Guarded()) if content else Guarded()
