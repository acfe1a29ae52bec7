"""Every trace point of the product, by where it is passed; a unit test compares this list with the source."""

from dataclasses import dataclass

STEPS = ("freeze", "final sync", "check the copy", "switch", "start", "verify")
AROUND = tuple(f"{step}.{instant}" for step in STEPS for instant in ("intent", "intended", "done", "recorded"))
WITHIN = (
    "freeze.prepared",
    "freeze.inventoried",
    "freeze.held",
    "freeze.ended",
    "freeze.stopped",
    "freeze.left",
    "final sync.copied",
    "switch.noted",
    "switch.waking",
    "switch.guarded",
    "switch.ordered",
    "switch.written",
    "switch.named",
    "start.lifted",
    "verify.restored",
    "verify.proven",
    "commit.recorded",
)
# Passed only by a run that is held, and by who lets it go: tests/system/moving/test_hold.py
HOLD = ("hold.held", "hold.going", "go.looked")
# Passed only where containerd's root moves along: tests/system/stores/test_containerd.py
CONTAINERD = ("switch.paired",)
FRONT = ("pre-copy.begun", "pre-copy.layers", "pre-copy.passed")
# Passed only where no container has run on the new root, though it was begun to prove it:
# tests/unit/move/test_rollback.py
IDLE = ("verify.undo", "verify.undone")
BACK = (
    "rollback.recorded",
    *(f"{step}.{instant}" for step in reversed(STEPS[:-1]) for instant in ("undo", "undone")),
    "freeze.started again",
    "rollback.outcome",
)
# Passed where a copy is removed because its disk is full.
DISCARD = ("discard.distrusted", "discard.emptied")
# Passed by `cleanup`, with the engine running throughout: tests/system/moving/test_going_back.py
CLEANUP = ("cleanup.begun", "cleanup.emptied")
# Before anything is written down or changed: tests/system/input/test_refusals.py
LOOKED = ("plan.made",)
ALL = (*LOOKED, *FRONT, *AROUND, *WITHIN, *HOLD, *CONTAINERD, *IDLE, *BACK, *DISCARD, *CLEANUP)


@dataclass(frozen=True)
class Back:
    """A point on the way back, and the point where the move fails so that there is a way back."""

    failing: str
    point: str

    def __str__(self) -> str:
        return f"{self.point} after {self.failing}"


def failure(failing: str, point: str) -> str:
    """How the move is made to fail so that the point is passed: only a copy on a full disk is removed."""
    return f"{failing} {'full' if point in DISCARD else 'fail'}"


# Late enough that every step but the last is undone, and early enough that no container has run on the copy: from then
# on nothing goes back.
STARTED = "start.lifted"
# Late enough that the configuration is undone, and early enough that no engine was started on the copy.
SWITCHED = "switch.written"
WAYS_BACK = (
    *(Back(STARTED, point) for point in BACK),
    *(Back(SWITCHED, point) for point in BACK if not point.startswith("start.")),
    *(Back(SWITCHED, point) for point in DISCARD),
    # What going forward passes too is passed first on the way back if that begins before it.
    Back("final sync.intent", "start.lifted"),
    Back("final sync.intent", "verify.restored"),
    Back("freeze.inventoried", "freeze.undo"),
    Back("freeze.inventoried", "freeze.undone"),
    Back("freeze.held", "freeze.undo"),
    Back("freeze.held", "start.lifted"),
)
# Until the switch is undone the configuration names the new root. Killed before, the engine is started there, its
# containers run, and nothing goes back any more.
STILL_NEW = frozenset({"rollback.recorded", "start.undo", "start.undone", "switch.undo"})


def ends_new(back: Back) -> bool:
    """Whether a death at this point leaves the engine on the new root."""
    return back.failing in (STARTED, SWITCHED) and back.point in STILL_NEW
