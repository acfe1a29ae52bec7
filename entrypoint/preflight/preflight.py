"""The checks before anything is touched: facts in, findings out. All run; they are reported together.

An error refuses the move, a warning is shown and the move goes on. Every check is a pure function, so a finding can be
tested without a host that has the fault.
"""

from collections.abc import Collection, Iterable

from entrypoint.console.errors import PreflightError
from entrypoint.console.findings import Finding, Severity, agreed
from entrypoint.engine import products
from entrypoint.preflight.adoption import ADOPT, Adoptable
from entrypoint.preflight.asked import OF_OLD_ROOT, OF_WAY_BACK, Asked, asked
from entrypoint.preflight.checks import adoption
from entrypoint.preflight.checks.removal import OldRoot
from entrypoint.preflight.checks.way_back import WayBack
from entrypoint.preflight.facts import HostFacts
from entrypoint.preflight.roots import RootKind


def check(facts: HostFacts, accepted: Collection[str] = ()) -> tuple[Finding, ...]:
    """Every finding, errors first; those that the operator has `accepted` by their id are none."""
    return errors_first(found(facts, occasion(facts), accepted))


def check_adoption(facts: HostFacts, there: Adoptable | None, accepted: Collection[str] = ()) -> tuple[Finding, ...]:
    """Every finding where a root is adopted; what only a copy needs is not asked."""
    of_host = found(facts, Asked.ADOPT, accepted)
    if facts.engine.product is not products.ENGINE:
        return of_host
    return errors_first([*of_host, *adoption.check(facts, there, insisted=ADOPT in accepted)])


def check_return(facts: HostFacts, left: WayBack, accepted: Collection[str] = ()) -> tuple[Finding, ...]:
    """Every finding where the engine goes back to a root that it has left."""
    of_host = found(facts, Asked.RETURN if facts.root(RootKind.DATA_ROOT) else Asked.RETURN_ALONE, accepted)
    return (*of_host, *(finding for check in OF_WAY_BACK for finding in check(facts, left)))


def check_again(facts: HostFacts, accepted: Collection[str] = ()) -> tuple[Finding, ...]:
    """Every finding that can have come while a copy was made."""
    return found(facts, Asked.AGAIN, accepted)


def check_removal(facts: HostFacts, old: OldRoot) -> tuple[Finding, ...]:
    """Every finding where a root that a move has left is to be removed."""
    of_host = found(facts, Asked.REMOVAL, ())
    if facts.engine.product is not products.ENGINE:
        return of_host
    return (*of_host, *(finding for check in OF_OLD_ROOT for finding in check(facts, old)))


def occasion(facts: HostFacts) -> Asked:
    if facts.root(RootKind.DATA_ROOT):
        return Asked.MOVE
    return Asked.ALONE if facts.roots else Asked.NOTHING


def found(facts: HostFacts, when: Asked, accepted: Collection[str]) -> tuple[Finding, ...]:
    """What the checks find that are asked then. Of another product nothing else is said: it would be wrong."""
    if other := tuple(products.other(facts.engine.product)):
        return other
    findings = (agreed(finding, accepted) for check in asked(when) for finding in check(facts))
    return tuple(finding for finding in findings if finding is not None)


def errors_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR))


def require(findings: Iterable[Finding], what: str = "move") -> None:
    """Raises PreflightError if one of the findings refuses the move, or what else was to be done."""
    if errors := refuses(findings):
        raise PreflightError(
            f"The {what} is refused, for {len(errors)} reason{'s' if len(errors) > 1 else ''}. Nothing was changed.",
            details="\n".join(finding.text() for finding in errors),
        )


def refuses(findings: Iterable[Finding]) -> list[Finding]:
    """Those of the findings that refuse the move."""
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def is_already_there(facts: HostFacts) -> bool:
    """Whether the first root that is to move is the target."""
    return bool(facts.roots) and facts.first.is_there
