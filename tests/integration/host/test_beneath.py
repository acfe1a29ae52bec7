"""Nothing below a root is reached through a link, however long its name is and whatever the kernel can do."""

import errno
import os
from pathlib import Path

import pytest

from entrypoint.host.confined import beneath
from entrypoint.host.confined.beneath import FOLDER, open_beneath
from entrypoint.host.confined.tree import Tree


@pytest.fixture(params=["openat2", "by single names"])
def tree(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A root with a directory, a file, and links that lead out of it and within it."""
    if request.param != "openat2":
        monkeypatch.setattr(beneath, "OPENAT2", 100_000)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    root = tmp_path / "root"
    (root / "folder/inner").mkdir(parents=True)
    (root / "folder/file").write_text("content")
    (root / "out").symlink_to("../outside")
    (root / "absolute").symlink_to(tmp_path / "outside")
    (root / "within").symlink_to("folder")
    return Tree(root)


def test_what_is_there_is_found(tree: Tree) -> None:
    assert sorted(tree.names(b"folder")) == [b"file", b"inner"]
    assert tree.status(b"folder/file").st_size == len("content")
    assert tree.has_directory(b"folder/inner")
    assert not tree.has_directory(b"folder/file")
    assert tree.found(b"folder/none") is None
    assert tree.status(b"").st_ino == os.fstat(tree.root).st_ino


@pytest.mark.parametrize(
    "name", [b"out", b"out/secret", b"absolute/secret", b"within/file", b"../outside", b"folder/../.."]
)
def test_no_link_is_followed_and_no_way_leads_up(tree: Tree, name: bytes) -> None:
    with pytest.raises(OSError) as refused:
        os.close(open_beneath(tree.root, name, os.O_RDONLY))
    assert refused.value.errno in (errno.ELOOP, errno.EXDEV, errno.ENOTDIR)
    if b"/" in name and b".." not in name:
        assert tree.found(name) is None


def test_a_link_is_told_from_what_it_leads_to(tree: Tree) -> None:
    assert not tree.has_directory(b"within")
    assert tree.found(b"within") is not None


def test_a_name_may_be_longer_than_a_path(tree: Tree) -> None:
    folder, parts = os.dup(tree.root), [b"x" * 200 + b"%d" % number for number in range(50)]
    for part in parts:
        os.mkdir(part, dir_fd=folder)
        inner = os.open(part, FOLDER, dir_fd=folder)
        os.close(folder)
        folder = inner
    assert len(b"/".join(parts)) > 10_000
    with tree.folder(b"/".join(parts)) as found:
        assert os.fstat(found).st_ino == os.fstat(folder).st_ino
    os.close(folder)
