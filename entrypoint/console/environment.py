"""Options by the environment: `RELOCATOR_BWLIMIT=50m` is `--bwlimit=50m`, `RELOCATOR_YES=1` is `--yes`.

For cloud-init, Ansible and CI, which set variables more easily than words. What is typed comes before it.
"""

from collections.abc import Collection, Iterator, Mapping

from entrypoint.console.errors import UsageError

PREFIX = "RELOCATOR_"
YES, NO = ("1", "yes", "true", "on"), ("", "0", "no", "false", "off")


def variable(option: str) -> str:
    """What an option is called in the environment."""
    return PREFIX + option.removeprefix("--").replace("-", "_").upper()


def options(flags: Collection[str], valued: Collection[str], typed: Collection[str],
            environment: Mapping[str, str]) -> Iterator[str]:  # fmt: skip
    """The options that the environment gives and nobody has typed, as one types them. Raises UsageError.

    `flags` are those without a value, `valued` those with one.
    """
    given = {word.partition("=")[0] for word in typed}
    for option in (*flags, *valued):
        value = environment.get(variable(option), "")
        if option in given or not value:
            continue
        if option in valued:
            yield f"{option}={value}"
        elif is_meant(option, value):
            yield option


def is_meant(option: str, value: str) -> bool:
    if value.lower() not in (*YES, *NO):
        raise UsageError(
            f"{variable(option)} is neither yes nor no.", resolution=f"Set it to 1, or to 0: it is `{option}`."
        )
    return value.lower() in YES
