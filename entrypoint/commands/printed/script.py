"""The script that runs this image on a host and waits until the worker is done, alone or with the image's files in it.

With them it is a bundle: nothing has to be loaded into an engine, whose disk may be full to the last byte.
"""

import gzip
import io
import os
import shlex
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from entrypoint import __version__
from entrypoint.commands.line.options import VARIABLES
from entrypoint.console.command import IMAGE
from entrypoint.host.disks.filesystem import mounts_of
from entrypoint.move.worker.handover import PYTHON

SOURCE = Path(__file__).with_name("script.sh")
ROOT = Path("/")
DIGITS = 9  # of the two numbers that stand in the script: their width is fixed, so that they change no other number
LEVEL = 6  # of gzip: a second for each 20 MB


def text(packed: str = "", size: str = "") -> str:
    """The script, for this image's name and version. `packed`: where the image's files begin in it; `size`: its own."""
    known = {
        "@IMAGE@": os.environ.get(IMAGE, "relocator"),
        "@VERSION@": __version__,
        "@PROGRAM@": shlex.join((*PYTHON, "entrypoint")),
        "@VARIABLES@": " ".join(VARIABLES),
        "@PACKED@": packed,
        "@SIZE@": size,
    }
    script = SOURCE.read_text()
    for mark, value in known.items():
        script = script.replace(mark, value)
    return script


def write_bundle(stream: BinaryIO, root: Path = ROOT) -> None:
    """The script with the image's files behind it."""
    files = packed(root)
    blank = "0" * DIGITS
    begin = len(text(blank, blank).encode())
    stream.write(text(f"{begin + 1:0{DIGITS}}", f"{begin + len(files):0{DIGITS}}").encode())
    stream.write(files)
    stream.flush()


def packed(root: Path) -> bytes:
    """Everything below `root` but what is mounted there, as a compressed archive; the same files give the same bytes.

    GNU's format: the tar of a small system knows no other for long names.
    """
    written = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=written, mode="wb", compresslevel=LEVEL, mtime=0) as packing,
        tarfile.open(fileobj=packing, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        mounted = frozenset(mounts())
        for place in sorted(root.iterdir()):
            archive.add(place, arcname=place.name, filter=lambda entry: None if entry.name in mounted else entry)
    return written.getvalue()


def mounts() -> Iterator[str]:
    """Where something is mounted in this container, as the archive would name it: what is there is the host's."""
    for mount in mounts_of(os.getpid()):
        yield str(mount.point).lstrip("/")
