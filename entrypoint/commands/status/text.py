"""What is told of the last run, for people: what was, what is now, what to do."""

from entrypoint.commands.status.at_work import held, told_at, working
from entrypoint.commands.status.state import State
from entrypoint.commands.status.status import AT_WORK, Status
from entrypoint.commands.status.timeline import picture
from entrypoint.console import wording
from entrypoint.journal.amiss import Kind
from entrypoint.journal.unfinished import KEPT, LOST
from entrypoint.move import safety_net
from entrypoint.move.context import Patience
from entrypoint.move.proof import restart, verify
from entrypoint.plan.plan import Direction

AGAIN = "to prove the root once more"
TRIED = {
    Kind.CONTAINER: f"to put each container as it stood, up to {restart.ROUNDS} times",
    Kind.HEALTH: f"to wait for health checks, up to {wording.span(Patience.recovering)}",
    Kind.UNIT: f"to start each unit, up to {verify.UNIT_STARTS} times",
    Kind.HELD: "to find what is missing, in the engine's answer and on its disk",
    Kind.UNPROVEN: AGAIN,
    Kind.OTHER: AGAIN,
}


def text(status: Status) -> str:
    first, *others = (*_now(status), *SENTENCES[status.state](status))
    return "\n".join(line for line in (first, _when(status), *others, *_earlier(status)) if line)


def _now(status: Status) -> tuple[str, ...]:
    """What is otherwise by now comes first; what follows is what was."""
    return (status.present.what, status.present.remedy, "What the last run had done:") if status.present else ()


def report(status: Status, columns: int) -> str:
    """The text, and under it how long each phase took."""
    drawn = picture(status.timeline, columns) if status.state not in AT_WORK else ()
    return "\n".join((text(status), *(["", *drawn] if drawn else [])))


def _when(status: Status) -> str:
    began, ended = (told_at(one) for one in (status.began, status.ended))
    where = f" on {status.host}" if status.host else ""
    return (f"Begun{where} {began}" + (f", ended {ended}." if ended else ".")) if began else ""


def _took(status: Status) -> str:
    return f"The engine was away for {status.downtime:.1f} s." if status.downtime is not None else ""


def _earlier(status: Status) -> tuple[str, ...]:
    """A run that came to nothing must not hide what an earlier one has left."""
    if not status.waiting:
        return ()
    return (f"An earlier move has left {' and '.join(status.waiting)}, which can be removed: relocator cleanup",)


def _none(_status: Status) -> tuple[str, ...]:
    return ("No move was ever begun on this host.",)


def _committed(status: Status) -> tuple[str, ...]:
    which = "containerd's root" if status.only else "The data root"
    return (
        f"{which} {_moved(status)} (run {status.run}).",
        _took(status),
        _verified(status),
        *(["Not there, as was told before: " + "; ".join(status.gone) + "."] if status.gone else []),
        *_left_behind(status),
    )


def _verified(status: Status) -> str:
    counts = ", ".join(f"{count} {kind if count != 1 else kind[:-1]}" for kind, count in status.verified.items())
    return f"Verified after the start: {counts}, {'the others' if status.gone else 'all'} as before." if counts else ""


def _moved(status: Status) -> str:
    along = status.containerd
    if status.direction is Direction.BACK:
        both = f", and containerd's root to {along[1]}" if along else ""
        return f"was taken back to {status.target}; it had been in {status.source}{both}"
    if status.direction is Direction.ADOPT:
        both = f", and containerd's root {along[1]}" if along else ""
        return f"is {status.target}{both}, which was there already; it had been {_old(status)}"
    both = f", and containerd's root from {along[0]} to {along[1]}" if along else ""
    return f"was moved from {status.source} to {status.target}{both}"


def _left_behind(status: Status) -> tuple[str, ...]:
    if status.old_root == "removed":
        return (f"The old root {_old(status)} has been removed; there is no way back to it.",)
    if status.old_root == "being removed":
        return (f"The removal of the old root {_old(status)} was cut off. To go on: relocator cleanup --yes",)
    if status.direction is Direction.ADOPT:
        return (f"What the engine had before stays in {_old(status)}. To go back to it: relocator rollback",)
    if status.old_root == "adopted":
        return (f"{_old(status)} stays as it is, for nothing of it was copied. To use it again: relocator --adopt "
                f"{status.source}",)  # fmt: skip
    gain = f" ({wording.size(status.frees)} come back)" if status.frees else ""
    if status.direction is Direction.BACK:
        return (
            f"{_old(status)} is as it was left, with what was written there between the move and the way back. "
            f"To see what is only there, and to remove it{gain}: relocator cleanup",
        )
    return (
        f"The old root is still in {_old(status)}. To remove it{gain}, once you are content: relocator cleanup",
        "To go back to it: relocator rollback",
    )


def _old(status: Status) -> str:
    return status.source + (f" and {status.containerd[0]}" if status.containerd else "")


def _who(status: Status) -> str:
    return "containerd works" if status.only else "The engine runs"


def _asking(status: Status) -> str:
    return "containerd config dump | grep ^root" if status.only else "docker info --format '{{.DockerRootDir}}'"


def _new(status: Status) -> str:
    return status.target + (f" and {status.containerd[1]}" if status.containerd else "")


def _which(status: Status) -> str:
    return f"The {'way back' if status.direction is Direction.BACK else 'move'} (run {status.run})"


def _rolled_back(status: Status) -> tuple[str, ...]:
    return (
        f"{_which(status)} failed in the phase `{status.phase}`, and was undone.",
        f"Why: {status.reason}",
        f"{_who(status)} on {_old(status)}, as before.",
        *_amiss(status),
        _took(status),
        _copy(status),
        again(status),
    )


def _copy(status: Status) -> str:
    if status.left:
        return f"The copy in {_new(status)}{' is still there' if status.left != LOST else ''}: {status.left}"
    return f"The copy in {_new(status)} was removed." if status.direction is Direction.FORTH else ""


def again(status: Status) -> str:
    """What to do next; a copy that an engine was started on is nobody's to remove but the operator's."""
    if status.left not in ("", KEPT, LOST):
        return f"Mend the cause, look at {_new(status)} and empty it, then run the same command again."
    return "Mend the cause and run the same command again."


def _broken(status: Status) -> tuple[str, ...]:
    return (
        f"{_which(status)} failed in the phase `{status.phase}`, and could not be undone completely.",
        f"Why: {status.reason}",
        "What could not be undone:",
        *(f"  {problem}" for problem in status.problems),
        f"Both roots are there: {_old(status)} (complete, as it was) and {_new(status)}.",
        f"The copy in {_new(status)}: {status.left}" if status.left else "",
        _amiss_with(status),
        f"To put the configuration back as it was and start it on {status.source}, on the host:",
        f"    {safety_net.by_hand(status.run)}",
    )


def _amiss_with(status: Status) -> str:
    """Where to look; an engine that runs has no reason why it would not."""
    if status.engine_up:
        return f"The engine runs. What is wrong there: docker ps --all; journalctl -u {status.unit} -n 50"
    return f"Why the engine does not start: systemctl status {status.unit}; journalctl -u {status.unit} -n 50"


def _amiss(status: Status) -> tuple[str, ...]:
    """What does not stand; it is tried again each time it is asked for."""
    return (
        ("These do not stand as before the move:", *(f"  {wording.printable(one)}" for one in status.amiss))
        if status.amiss
        else ()
    )


def _arrived_amiss(status: Status) -> tuple[str, ...]:
    which = "containerd's root" if status.only else "The data root"
    return (
        f"{which} {_moved(status)} (run {status.run}). The engine is up there, and containers have run.",
        *_amiss(status),
        f"What the run had met: {status.reason}" if status.reason else "",
        *_tried(status),
        _took(status),
        *_choices(status),
    )


def _tried(status: Status) -> tuple[str, ...]:
    """What was done about it, and what is done each time that somebody comes by."""
    done = "; ".join(dict.fromkeys(TRIED[one] for one in status.tried))
    return (
        f"What was tried: {done or 'nothing, so long after the start; that is for who asks next'}.",
        "Mend the causes; `relocator status` tries each of them again, as the next command does, and ends with 0 when "
        "all is well.",
    )


def _choices(status: Status) -> tuple[str, ...]:
    """The ways from here, and what each would lose: what was written since the start is on the new root only."""
    if status.old_root != "kept":
        return ()
    if status.direction is Direction.BACK:
        return _left_behind(status)
    return (
        f"The old root is still in {_old(status)}, as it was when the engine stopped.",
        "To stay loses nothing. To go back is your choice: relocator rollback --yes",
        f"It gives up what was written, made and removed since {told_at(status.since)}; that stays in {_new(status)}.",
        "To see first what that is, with nothing changed: relocator rollback",
    )


def _interrupted(status: Status) -> tuple[str, ...]:
    return (
        f"Run {status.run} was interrupted before the engine was stopped. Nothing was changed.",
        _copy(status) if status.left else "",
    )


def _cut_off(status: Status) -> tuple[str, ...]:
    return (
        f"Run {status.run} was cut off in the phase `{status.phase}`.",
        "The engine was started again by the host, on the root that its configuration names.",
        f"Which one that is: {_asking(status)} ({status.source} or {status.target}).",
        "To settle it: the same command again. To have that done, and no more: relocator rollback",
    )


def _abandoned(status: Status) -> tuple[str, ...]:
    return (
        f"Run {status.run} ended without a word before the engine was stopped. The engine was not touched.",
        f"An unfinished copy is in {status.target}; the same command goes on with it.",
    )


SENTENCES = {
    State.NONE: _none,
    State.WORKING: working,
    State.HELD: held,
    State.COMMITTED: _committed,
    State.ROLLED_BACK: _rolled_back,
    State.BROKEN: _broken,
    State.MOVED: _arrived_amiss,
    State.INTERRUPTED: _interrupted,
    State.CUT_OFF: _cut_off,
    State.ABANDONED: _abandoned,
}
