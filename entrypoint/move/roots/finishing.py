"""Finishing a copy that somebody else has begun, or that a move has left which failed: it becomes a copy of ours.

What is in the target is used as an unfinished copy is: layers that are equal stay, everything else is copied again, and
what the root in use has not is removed, as all of it is if the move fails. So it is told in numbers before, and done
only where the target is known for an engine's root: by its directories, or by the journal.
"""

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from entrypoint.engine.containerd.service import DATABASE
from entrypoint.engine.holdings.in_use import is_in_use
from entrypoint.host.children import run
from entrypoint.host.confined.beneath import FOLDER
from entrypoint.host.host import Host
from entrypoint.journal.unfinished import Found, Unfinished
from entrypoint.plan.plan import Plan
from entrypoint.preflight.adoption import Adoptable
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import MEASURING, Left, Rest, RootFacts, RootKind

FINISH = "finish-copy"  # what the operator has accepted, as with the ids of findings


def look(host: Host, facts: HostFacts, found: Adoptable | None, accepted: Collection[str]) -> HostFacts:
    """The facts, with what would be removed from each target that can be finished, if that is accepted."""
    if FINISH not in accepted:
        return facts
    return replace(facts, roots=tuple(_with_rest(host, facts, root, found) for root in facts.roots))


def _with_rest(host: Host, facts: HostFacts, root: RootFacts, found: Adoptable | None) -> RootFacts:
    is_root = (found is not None and found.record is None if root.kind is RootKind.DATA_ROOT
               else (host.path(root.target.resolved) / DATABASE).is_file())  # fmt: skip
    is_known = is_root or facts.left.get(root.kind) is Left.FAILED
    return replace(root, target=replace(root.target, rest=_rest(host, root) if is_known else None))


def _rest(host: Host, root: RootFacts) -> Rest | None:
    """Nothing of a target that is empty, or that an engine works on."""
    target, source = host.path(root.target.resolved), host.path(root.source.path)
    if not root.target.content or is_in_use(target):
        return None
    theirs, ours = _names(target), _names(source)
    return Rest(len(theirs), len(theirs - ours))


def _names(root: Path) -> set[str]:
    search = ["find", str(root), "-xdev", "-mindepth", "1", "-printf", "%P\\0"]
    return set(run(search, timeout=MEASURING, check=False).stdout.split("\0")) - {""}


def take_over(host: Host, plan: Plan, accepted: Collection[str]) -> None:
    """From here on each target is a copy of ours, of which nothing is relied on that is not compared; if that is
    accepted."""
    for root in plan.roots if FINISH in accepted else ():
        target = host.path(root.target)
        if target.is_dir() and any(target.iterdir()) and not Unfinished.marks(target, root.source, plan.engine_id):
            folder = os.open(target, FOLDER)
            try:
                found = Found.at(folder)
            finally:
                os.close(folder)
            Unfinished.begun(root.source, plan.engine_id, found).write(target)
