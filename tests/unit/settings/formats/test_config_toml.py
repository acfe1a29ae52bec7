"""containerd's file: the root in it, set anew and taken back, everything else byte for byte."""

import tomllib
from pathlib import Path

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from entrypoint.console.errors import PreflightError
from entrypoint.settings import formats
from entrypoint.settings.formats import config_toml

PLACE, NEW = "/etc/containerd/config.toml", "/mnt/big/containerd"
SETTING = config_toml.SETTING
# As Debian ships it, and as Docker's own packages do.
DEBIAN = b"""\
version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd/opt"
"""
DOCKER = b"""\
#   Licensed under the Apache License, Version 2.0 (the "License");

disabled_plugins = ["cri"]

#root = "/var/lib/containerd"
#state = "/run/containerd"

#[grpc]
#  address = "/run/containerd/containerd.sock"
"""
ELSEWHERE = b"""root = '/srv/ctd' # was: "/var/lib/containerd"\nimports = ["/etc/containerd/conf.d/*.toml"]\n
[proxy_plugins.a]\n  root = "/srv/ctd"
[plugins."io.containerd.snapshotter.v1.overlayfs"]\n root_path = "/srv/ctd/o"\n"""
FILES = (DEBIAN, DOCKER, ELSEWHERE, b"", b"version = 2", b'state = "/run/c"\n')
# Valid: tables that are set in below one that nobody has written, and one of an array between two others.
SET_IN = b"""\
version = 2

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes]
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"
"""
BETWEEN = b"""\
version = 2
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
[[stream_processors]]
path = "ctd-decoder"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "/etc/containerd/certs.d"
"""


@pytest.mark.parametrize("content", FILES)
def test_the_root_is_set_and_taken_back_byte_for_byte(content: bytes) -> None:
    edited = formats.with_root(content, NEW, SETTING, PLACE)
    assert formats.root_in(edited, SETTING, PLACE) == NEW
    back = formats.with_old_root(edited, content, SETTING, PLACE)
    if content in (DEBIAN, DOCKER, ELSEWHERE.replace(b"'/srv/ctd'", b'"/srv/ctd"')):
        assert back == content
    assert tomllib.loads(back.decode()) == tomllib.loads(content.decode()) or content == b""


def test_a_line_is_put_where_a_person_would_look_for_it() -> None:
    assert formats.with_root(DEBIAN, NEW, SETTING, PLACE).startswith(b'version = 2\nroot = "/mnt/big/containerd"\n\n')
    edited = formats.with_root(DOCKER, NEW, SETTING, PLACE)
    assert b'#root = "/var/lib/containerd"\nroot = "/mnt/big/containerd"\n' in edited
    assert formats.with_root(None, NEW, SETTING, PLACE) == b'version = 2\nroot = "/mnt/big/containerd"\n'


def test_what_is_named_below_the_old_root_is_named_below_the_new_one() -> None:
    edited = formats.with_root(DEBIAN, NEW, SETTING, PLACE)
    assert b'    path = "/mnt/big/containerd/opt"\n' in edited
    edited = formats.with_root(ELSEWHERE, NEW, SETTING, PLACE)
    assert edited.splitlines()[0] == b"""root = "/mnt/big/containerd" # was: "/var/lib/containerd\""""
    assert tomllib.loads(edited.decode())["proxy_plugins"] == {"a": {"root": "/srv/ctd"}}  # no path below the root
    assert b'root_path = "/mnt/big/containerd/o"' in edited


def test_what_others_have_written_since_stays_when_the_root_goes_back() -> None:
    edited = formats.with_root(DEBIAN, NEW, SETTING, PLACE) + b'  [plugins.more]\n    x = "/mnt/big/containerd/y"\n'
    back = formats.with_old_root(edited, DEBIAN, SETTING, PLACE)
    assert back == DEBIAN + b'  [plugins.more]\n    x = "/var/lib/containerd/y"\n'


@pytest.mark.parametrize("content", [SET_IN, BETWEEN])
def test_lines_stay_where_tomlkit_would_write_them_otherwise(content: bytes) -> None:
    """Why the file is edited as text: tomlkit 0.15 sets a table in anew, or moves it. Once it does not, it may edit."""
    added = b'version = 2\nroot = "/mnt/big/containerd"\n'
    expected = content.replace(b"version = 2\n", added).replace(b"/var/lib/containerd/", b"/mnt/big/containerd/")
    edited = formats.with_root(content, NEW, SETTING, PLACE)
    assert edited == expected
    assert formats.with_old_root(edited, content, SETTING, PLACE) == content
    assert tomlkit.parse(content).as_string().encode() != content


@pytest.mark.parametrize("content", [b"root = ", b"\xff", b"[a]\n[a]\n"])
def test_what_is_no_toml_is_refused(content: bytes) -> None:
    with pytest.raises(PreflightError, match="not valid TOML"):
        formats.root_in(content, SETTING, PLACE)


@pytest.mark.parametrize(
    "content", [b'root = """/srv/ctd"""\n', b'a = """\nroot = "/x"\n"""\n', b'"ro\\u006ft" = "/x"\n']
)
def test_what_cannot_be_edited_safely_is_left_to_a_person(content: bytes) -> None:
    with pytest.raises(PreflightError, match="cannot be edited safely"):
        config_toml.with_root(content, NEW, SETTING, PLACE)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=30))
def test_any_name_that_can_be_a_target_can_be_written(name: str) -> None:
    root = f"/mnt/{name}"
    assert formats.root_in(formats.with_root(DEBIAN, root, SETTING, PLACE), SETTING, PLACE) == root


def test_the_files_are_read_by_what_they_mean(tmp_path: Path) -> None:
    assert formats.root_in(DOCKER, SETTING, PLACE) is None
    assert formats.root_in(b'root = ""\n', SETTING, PLACE) is None
