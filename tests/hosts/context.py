"""The build context of the product's image: which files it consists of, and their hash."""

import os
import subprocess
from pathlib import Path

from tests.hosts import cache
from tests.hosts.command import run

CHECKOUT = Path(__file__).resolve().parents[2]
# Nothing below these gets into the image, so that a change there costs no build.
OUTSIDE = ("tests/", "docs/", ".ci/", ".github/")


def files(context: Path) -> list[Path]:
    """Relative, sorted: what git tracks or would track; all there is where there is no git."""
    # The checkout may belong to the user who became root for these tests.
    argv = ["git", "-c", "safe.directory=*", "-C", str(context), "ls-files", "-z"]
    argv += ["--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(argv, capture_output=True, check=False)
    if listed.returncode == 0:
        names = {name for name in os.fsdecode(listed.stdout).split("\0") if name}
    else:
        names = {str(path.relative_to(context)) for path in context.rglob("*")}
    wanted = sorted(Path(name) for name in names if not name.startswith(OUTSIDE))
    # A tracked file may have been deleted, and a directory is only its files.
    return [path for path in wanted if (context / path).is_file() or (context / path).is_symlink()]


def digest(context: Path) -> str:
    return cache.digest(*[part for path in files(context) for part in _parts(context, path)])


def _parts(context: Path, path: Path) -> list[bytes]:
    full = context / path
    if full.is_symlink():
        return [bytes(path), b"link", os.fsencode(full.readlink())]
    return [bytes(path), b"x" if os.access(full, os.X_OK) else b"-", full.read_bytes()]


def copy(context: Path, target: Path) -> None:
    """Exactly the hashed files, as the image must not depend on any other."""
    target.mkdir(parents=True)
    for path in files(context):
        (target / path.parent).mkdir(parents=True, exist_ok=True)
        run(["cp", "-a", "--", context / path, target / path])
