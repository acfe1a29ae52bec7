"""A database of bbolt is read as a tree, and what is damaged is never taken for one."""

import base64
import zlib

import pytest

from entrypoint.engine.containerd import bolt

# volumes/metadata.db of an engine with one volume (docker.io 26.1), as it was when that had stopped.
REAL = zlib.decompress(base64.b85decode(
    r"c-rmSJ5Iwu5CBle3D8iaqDEUllM_Uug8~V`84S3H<Rp+^gSZk`-~=21C^$hHxB#|nN5T@H0*N5KCyjQ;@;2*g#uG)QPPHzdwwH0S"
    r">6Upr`e>tCHyi82{eIY+AHPHZ006++X?;`wcN*`<jk>??2i!fsg`LOOBR2{F008T!uIIbeuHC5X0RRAi|F6C31C)~ht*HF<zm>;z"
    r"9*c1{AEwjKj>oG3g7R1~E^v^?Wim@{!f7&0Lq8Nr=!L_{V3AJpJR4smS^nT8IZv}`=#S=E)(dA>v%z>&rMJEe0002|p3WEb|L#xf"
    r"e*gdgVC~g&{`LHS+~^Ac00000000000001g?;Ye>D}M"
))  # fmt: skip
HELD = {b"volumes": {b"data": b'{"Name":"data","Driver":"local","Labels":null,"Options":null}'}}
PAGE = 4096


def test_a_database_that_an_engine_has_written_is_read() -> None:
    assert bolt.read(REAL) == HELD
    assert bolt.below(bolt.read(REAL), b"volumes", b"none") == {}
    assert bolt.value(bolt.below(bolt.read(REAL), b"volumes"), b"data").startswith(b"{")
    assert bolt.value(bolt.read(REAL), b"volumes") == b""


@pytest.mark.parametrize(("meta", "held"), [(0, {b"volumes": {}}), (1, HELD)])
def test_one_meta_is_enough(meta: int, held: bolt.Tree) -> None:
    """A power cut can leave one half written; what the other names is a whole state, if an older one."""
    assert bolt.read(REAL[: meta * PAGE] + bytes(64) + REAL[meta * PAGE + 64 :]) == held


ROOT = max(found for place in (0, PAGE) if (found := bolt._meta(REAL, place)))[2] * PAGE
LOST = REAL[:ROOT] + bytes(PAGE) + REAL[ROOT + PAGE :]
FAR = REAL[: ROOT + 8] + bolt.PAGE.pack(ROOT // PAGE, bolt.BRANCH, 1, 0)[8:] + bytes([255] * 16) + REAL[ROOT + 32 :]


@pytest.mark.parametrize(
    "content", [b"", b"no database", bytes(2 * PAGE), REAL[: 2 * PAGE], REAL[: 3 * PAGE], LOST, FAR]
)
def test_what_is_no_database_or_cut_off_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        bolt.read(content)


def test_pages_that_lead_in_a_circle_are_refused() -> None:
    _transaction, size, root = max(found for place in (0, PAGE) if (found := bolt._meta(REAL, place)))
    branch = bolt.PAGE.pack(root, bolt.BRANCH, 1, 0) + bolt.BRANCH_ELEMENT.pack(16, 0, root)
    with pytest.raises(ValueError, match="circle"):
        bolt.read(REAL[: root * size] + branch + REAL[root * size + len(branch) :])


@pytest.mark.parametrize(("text", "unsigned", "signed"), [(b"\x01", 1, -1), (b"\xac\x02", 300, 150), (b"", 0, 0)])
def test_numbers_are_as_go_writes_them(text: bytes, unsigned: int, signed: int) -> None:
    assert (bolt.unsigned(text), bolt.signed(text)) == (unsigned, signed)
