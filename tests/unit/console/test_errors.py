"""Exit codes are an interface, and an error says what failed, why, and what to do."""

import pytest

from entrypoint.console import errors
from entrypoint.console.errors import ExitCode, RelocatorError


def test_the_exit_codes_are_these() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0, "USAGE": 2, "REFUSED": 3, "ROLLED_BACK": 4, "BROKEN": 5, "AMISS": 6, "HANDED_OVER": 10,
        "INTERRUPTED": 130,
    }  # fmt: skip


CODES: dict[type[RelocatorError], int] = {
    errors.UsageError: 2,
    errors.ContainerError: 2,
    errors.PreflightError: 3,
    errors.Interrupted: 130,
    errors.Aborted: 130,
    errors.Left: 10,
    errors.MoveError: 4,
    errors.HostCommandError: 4,
    errors.SystemdError: 4,
    errors.EngineError: 4,
    errors.CopyError: 4,
    errors.FullError: 4,
    errors.VerificationError: 4,
    errors.NeedsStop: 4,
    errors.JournalError: 5,
    errors.RollbackError: 5,
}


@pytest.mark.parametrize(("error", "code"), CODES.items())
def test_every_error_has_its_exit_code(error: type[RelocatorError], code: int) -> None:
    assert int(error("x").exit_code) == code


def test_no_error_is_forgotten_here() -> None:
    found = {one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, RelocatorError)}
    assert found - {RelocatorError} == CODES.keys()


@pytest.mark.parametrize("error", [error for error, code in CODES.items() if code in (4, 5)])
def test_what_a_step_raises_can_be_rolled_back(error: type[RelocatorError]) -> None:
    assert issubclass(error, errors.MoveError)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RelocatorError("What."), "What."),
        (RelocatorError("What.", "Why."), "What.\nWhy."),
        (RelocatorError("What.", "Why.", "Do."), "What.\nWhy.\nDo."),
        (RelocatorError("What.", resolution="Do."), "What.\nDo."),
    ],
)
def test_the_text_is_what_there_is_to_say(error: RelocatorError, text: str) -> None:
    assert error.text() == text
    assert str(error) == "What."
