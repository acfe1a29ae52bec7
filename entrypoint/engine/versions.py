"""What differs between Docker's versions, as far as a move depends on it: the first major version with it."""

from enum import IntEnum


class Since(IntEnum):
    """Each with where it is known from."""

    TRIED = 20  # 20.10, with Debian 11, is the oldest this was tried with
    FLAG_AND_KEY_CONFLICT = 22  # up to 20.10 a flag and a key under two names were merged, and the file won
    VALIDATE = 23  # moby: cmd/dockerd/options.go, --validate
    STORE_FEATURE = 23  # moby: "features": {"containerd-snapshotter": …}
    ANY_NAME = 28  # before, `%` in the root was a format (moby: layer/layer_store.go, MetadataStorePathTemplate)
    MIGRATION = 29  # moby: daemon/daemon.go, "features": {"containerd-migration": …}
    CONTAINERD = 29  # without a word in the configuration, on a root that no driver has left a trace in


def major(version: str) -> int | None:
    """The first number of a version; nothing for one that has none, as those of development have."""
    known = version.partition(".")[0]
    return int(known) if known.isdigit() else None


def is_at_least(version: str, since: int) -> bool:
    """Whether a version is known, and not older."""
    known = major(version)
    return known is not None and known >= since


def is_older(version: str, since: int) -> bool:
    """Whether a version is known, and older."""
    known = major(version)
    return known is not None and known < since
