"""Whatever a tree holds and whatever happens to it between two passes, the target is equal in the end.

Equal is what an independent comparer says, which reads every byte and attribute; the product's own check must agree.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from entrypoint.copy import bulk, copier, cp, transfer
from entrypoint.copy.looking import changes, shards
from tests.integration.copy.test_copier import wait_for_the_clock
from tests.integration.support.actions import (
    CHANGING,
    MAKING,
    Act,
    Tree,
    exchange,
    link_anew,
    make_directory,
    make_file,
    make_full_directory,
    rename,
    write_unseen,
)
from tests.unit.support.data_root import CONTAINER, VOLUME, Roots, add_layer, fill, silent

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes device nodes, owners and trusted attributes")

EXAMPLES = 40
TICK = 0.02  # seconds; the clock of a file system goes on in steps of a hundredth at most
number = st.integers(0, 2**31)
Step = tuple[int, Act, int, int, int]


def steps(acts: Sequence[Act], most: int) -> st.SearchStrategy[list[Step]]:
    return st.lists(st.tuples(st.integers(0, 1), st.sampled_from(acts), number, number, number), max_size=most)


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """No waiting for a disk or behind others; small shards; no half minute in which everything counts as changed."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (bulk, copier):
            patch.setattr(module, "flush", lambda *_: None)
        for module in (changes, cp):
            patch.setattr(module, "polite_command", list)
        patch.setattr("entrypoint.copy.copied.RACY", TICK)
        patch.setattr(copier, "SMALL_ENOUGH", 1 << 30)
        patch.setattr(shards, "LARGE_COUNT", 4)
        patch.setattr(shards, "SMALL_COUNT", 1)
        patch.setattr(transfer, "BATCH", 2)
        yield


def act_on(trees: Sequence[Tree], todo: Sequence[Step]) -> None:
    for which, act, a, b, n in todo:
        act(trees[which], a, b, n)
        trees[which].done.append(act.__name__)


def make(folder: Path) -> tuple[Roots, list[Tree]]:
    source, target = folder / "sou *rce", folder / "target"
    target.mkdir()
    for place in (CONTAINER, VOLUME):
        (source / place).mkdir(parents=True)
    fill(add_layer(source, "layer1"))
    silent()
    return Roots(source, target), [Tree(source / CONTAINER), Tree(source / VOLUME)]


two_full = [(1, make_full_directory, 0, 0, 0), (1, make_full_directory, 0, 0, 0)]


@example(two_full, [], [(1, exchange, 0, 2, 1)], False)
@example(two_full, [(1, exchange, 0, 2, 1)], [(1, exchange, 0, 2, 1)], False)
@example(two_full, [(1, rename, 0, 0, 0)], [(1, make_file, 1, 0, 1)], True)
@example([(0, make_directory, 0, 0, 0), (0, make_file, 1, 0, 2), (0, link_anew, 1, 0, 0)], [],
         [(0, link_anew, 1, 1, 0), (0, write_unseen, 1, 0, 0)], False)  # fmt: skip
@given(steps(MAKING, 25), steps(CHANGING, 12), steps(CHANGING, 12), st.booleans())
@settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
def test_the_target_is_equal_in_the_end(making: list[Step], during: list[Step], after: list[Step], again: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        roots, trees = make(Path(folder))
        act_on(trees, making)
        wait_for_the_clock(roots.source.parent / "probe", 2 * TICK)
        copied = roots.pre_copy()
        act_on(trees, during)
        if again:
            wait_for_the_clock(roots.source.parent / "probe", 2 * TICK)
            copied = roots.passes(copied)
        act_on(trees, after)
        before = roots.look(roots.source)
        roots.copier.final_sync(copied)
        roots.require_equal(copied, least=0)
        assert before == roots.look(roots.source)
