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
    "final sync.copied",
    "switch.waking",
    "switch.ordered",
    "switch.written",
    "start.lifted",
    "verify.restored",
    "verify.proven",
    "commit.recorded",
)
# Passed only where containerd's root moves along: tests/system/test_containerd.py
CONTAINERD = ("switch.guarded", "switch.paired")
FRONT = ("pre-copy.begun", "pre-copy.layers", "pre-copy.passed")
BACK = (
    "rollback.recorded",
    *(f"{step}.{instant}" for step in reversed(STEPS) for instant in ("undo", "undone")),
    "freeze.started again",
    "rollback.outcome",
)
# Passed where a copy is removed because it is not needed.
DISCARD = ("discard.distrusted", "discard.emptied")
# Passed by `cleanup`, with the engine running throughout: tests/system/test_going_back.py
CLEANUP = ("cleanup.begun", "cleanup.emptied")
# Before anything is written down or changed: tests/system/test_refusals.py
LOOKED = ("plan.made",)
ALL = (*LOOKED, *FRONT, *AROUND, *WITHIN, *CONTAINERD, *BACK, *DISCARD, *CLEANUP)


@dataclass(frozen=True)
class Back:
    """A point on the way back, and the point where the move fails so that there is a way back."""

    failing: str
    point: str

    def __str__(self) -> str:
        return f"{self.point} after {self.failing}"


# Late enough that every step is undone, and the engine has run on the copy.
STARTED = "verify.proven"
# Late enough that the configuration is undone, and early enough that the copy is removed.
SWITCHED = "switch.written"
WAYS_BACK = (
    *(Back(STARTED, point) for point in BACK),
    *(Back(SWITCHED, point) for point in BACK if not point.startswith(("verify.", "start."))),
    *(Back(SWITCHED, point) for point in DISCARD),
    # What going forward passes too is passed first on the way back if that begins before it.
    Back("final sync.intent", "start.lifted"),
    Back("final sync.intent", "verify.restored"),
    Back("freeze.inventoried", "freeze.undo"),
    Back("freeze.inventoried", "freeze.undone"),
    Back("freeze.held", "freeze.undo"),
    Back("freeze.held", "start.lifted"),
)
