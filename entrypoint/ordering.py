"""The drop-in that makes a service wait for the disks of its roots, and not start without them."""

from pathlib import PurePosixPath

SPECIAL_IN_UNITS = {"\\": "\\\\", '"': '\\"', "%": "%%"}


def ordering_drop_in(target: PurePosixPath, *others: PurePosixPath) -> bytes:
    """A drop-in that makes the engine wait for the target's mounts, and not start where there is no root.

    A missing disk would else let dockerd make an empty root in the bare mount point, and start "fine" (for-linux 293).
    `others` are the roots of what it cannot do without.
    """
    lines = [f"# Written by relocator when it moved the data root to {target}", "[Unit]"]
    for root in (target, *others):
        lines.append(f"RequiresMountsFor={quote_for_unit(str(root))}")
        lines.append(f"AssertDirectoryNotEmpty={str(root).replace('%', '%%')}")
    return "".join(f"{line}\n" for line in lines).encode()


def quote_for_unit(path: str) -> str:
    """A path as one word of a unit file's list."""
    escaped = "".join(SPECIAL_IN_UNITS.get(char, char) for char in path)
    return f'"{escaped}"'
