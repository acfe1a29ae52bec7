"""What is told of a run that is at work, or held: where it is, how fast it copies, and what one can say to it."""

from entrypoint.commands.status.standing import Standing
from entrypoint.commands.status.status import Status
from entrypoint.console import wording
from entrypoint.console.events import Phase
from entrypoint.move.worker import handover


def working(status: Status) -> tuple[str, ...]:
    return (
        f"Run {status.run} is at work: {status.source} → {status.target}, {status.phase}.",
        _pace(status),
        *(
            ("The engine is up. To wait for the outcome: relocator status --wait",)
            if status.phase in (Phase.PRE_COPY, Phase.HOLD)  # the unit is made at the hand-over
            else (
                "The engine is away for some seconds of it. To wait on this host for the outcome:",
                f"    {handover.outcome_line()}",
                f"Meanwhile: journalctl -fu {handover.UNIT}",
            )
        ),
    )


def held(status: Status) -> tuple[str, ...]:
    found = status.held or Standing()
    least, most = found.downtime or (0.0, 0.0)
    left = f"{wording.size(found.size)} in {wording.counted(found.files, 'file')}"
    return (
        f"Run {status.run} is held: {status.source} → {status.target}. The engine runs, and the copy is ready.",
        f"Held since {told_at(found.since)}.",
        _pace(status) or "The copy is kept up to date.",
        f"What is left: about what the last pass has found, {told_at(found.looked)}: {left}." if found.looked else "",
        f"The downtime would be {wording.span(least)} to {wording.span(most)} now." if found.downtime else "",
        f"It goes by itself {told_at(found.at)}." if found.at else "",
        f"It was to go, and did not: {found.against}" if found.against else "",
        "To switch: relocator go",
        "To give it up: relocator abort",
    )


def _pace(status: Status) -> str:
    if status.paused:
        return "The copy is paused. To let it go on: relocator resume"
    return f"The copy is limited to {status.limit} a second." if status.limit else ""


def told_at(moment: str) -> str:
    return moment.replace("T", " ")
