"""Which files of the host's configuration name a path in a directory, by whatever name: they go on naming the old
place."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from entrypoint.host.host import Host
from entrypoint.host.machine.called import Mounts

# Below the host's root: what runs by itself, mounts, exports, watches or rotates.
PLACES = (
    "etc/fstab", "etc/exports", "etc/exports.d/*", "etc/crontab", "etc/cron.*/*", "var/spool/cron/**/*",
    "etc/logrotate.conf", "etc/logrotate.d/*", "etc/audit/*.rules", "etc/audit/rules.d/*", "etc/rsyslog.d/*",
    "etc/samba/smb.conf", "etc/systemd/system/**/*", "etc/tmpfiles.d/*",
)  # fmt: skip
LARGEST = 1024**2  # bytes; no such file is larger
END = r"(?=[/\s\"',;:*)]|$)"


def mentions(host: Host, root: PurePosixPath) -> tuple[str, ...]:
    """The paths of those files, each with the name if it is another than the root's own."""
    texts = [(place, _text(place)) for place in _files(host.root)]
    found: dict[str, str] = {}
    for name in (str(root), *Mounts(host, root).of_host.others):
        for place in _naming(name, texts):
            path = f"/{place.relative_to(host.root)}"
            found.setdefault(path, path if name == str(root) else f"{path} (as {name})")
    return tuple(found.values())


def _naming(name: str, texts: Iterable[tuple[Path, str]]) -> Iterator[Path]:
    """The files that a name is in; lines that are comments say nothing."""
    wanted = re.compile(rf"^(?!\s*[#;]).*?(?<![\w/.-]){re.escape(name)}{END}", re.MULTILINE)
    mounted = re.compile(rf"^\s*(?:\S+\s+|Where\s*=\s*){re.escape(name)}(?=\s|$).*", re.MULTILINE)
    for place, text in texts:
        if wanted.search(mounted.sub("", text) if _is_of_mounts(place) else text):
            yield place


def _is_of_mounts(place: Path) -> bool:
    """What mounts the root's own disk there has to go on doing so: at the new place it would cover the new root."""
    return place.name == "fstab" or place.suffix in (".mount", ".automount")


def _files(root: Path) -> Iterator[Path]:
    seen: set[Path] = set()
    for pattern in PLACES:
        for place in sorted(root.glob(pattern)):
            if place not in seen and not place.is_symlink():
                seen.add(place)
                yield place


def _text(place: Path) -> str:
    with suppress(OSError):
        if place.is_file() and place.stat().st_size <= LARGEST:
            return place.read_text(errors="replace")
    return ""
