"""Why there is no table: the one error of its readers."""


class UnfitError(Exception):
    """There is no table that can be read here; why, in words."""


def require(holds: bool, what: str) -> None:
    """Raises UnfitError unless what is read is as it can be."""
    if not holds:
        raise UnfitError(f"not as expected: {what}")
