"""The checks of a way back: the engine is where the last move has put it, and what it left is as it was left."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from entrypoint.console.findings import Finding, error, warning
from entrypoint.engine.inventory import Inventory, made_since
from entrypoint.preflight.checks import settings
from entrypoint.preflight.checks.containerd import images
from entrypoint.preflight.checks.containerd.root import of_setting
from entrypoint.preflight.facts import HostFacts
from entrypoint.settings.places import Place
from entrypoint.settings.setting import Kind


@dataclass(frozen=True)
class SetIn:
    """A root that a move has set: from where it has gone, to where, and by which setting of which file."""

    source: str
    target: str
    path: str
    kind: Kind

    def is_elsewhere(self, place: Place) -> bool:
        return (str(place.file.path), place.setting.kind) != (self.path, self.kind)


@dataclass(frozen=True)
class WayBack:
    """What the last move has left, as the journal and the files tell.

    It took the data root from `source` to `target`, which may be one and the same; `data_root` and `images` are the
    roots that it has set. Images were `kept` in this store, by this driver. Of `first`, the root that it was mostly
    about, nothing is left to ask once it was `removed`. `gone` is the first of the old roots that is not there, or
    another one; `lacking` is what they lack, and `changed` what was changed since in each. `shared` is containerd's
    root, if both data roots use it, and `lost` what is not there any more. `held` is what the engine held, if the data
    root stayed. `undone` are the runs that were to go back since, and had come to a start of the engine there.
    """

    run: str
    source: str
    target: str
    first: str
    engine_version: str
    kept: tuple[str, str] | None = None
    data_root: SetIn | None = None
    images: SetIn | None = None
    removed: bool = False
    gone: str = ""
    lacking: tuple[str, ...] = ()
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shared: str = ""
    lost: str = ""
    held: Inventory | None = None
    undone: tuple[str, ...] = ()


def where(facts: HostFacts, left: WayBack) -> Iterator[Finding]:
    if str(facts.data_root) != left.target:
        yield error(
            "root-differs",
            "The engine does not run where the last move has put it",
            f"It runs on {facts.data_root}; run {left.run} moved it to {left.target}.",
        )


def set_there(facts: HostFacts, left: WayBack) -> Iterator[Finding]:
    decision, moved = settings.decided(facts), left.data_root
    if decision and moved and moved.is_elsewhere(decision.place):
        yield error(
            "setting-moved",
            "The data root is set in another place than the move has set it in",
            f"It is set in {decision.place.text()}; run {left.run} set it in {moved.path}.",
            f"Set it there to {moved.source} by hand, and restart the engine.",
        )


def as_left(_facts: HostFacts, left: WayBack) -> Iterator[Finding]:
    """Whether the old roots are there, whole, and as they were left."""
    if left.removed:
        yield error("old-root-removed", "The old root has been removed", f"{left.first}, by `relocator cleanup`.")
    elif left.gone:
        yield error("old-root-gone", "The old root is not there any more", f"{left.gone} is missing or another one.")
    elif left.lacking:
        yield error("old-root-incomplete", "The old root is not complete any more", f"{'; '.join(left.lacking[:5])}.")
    for root, changed in left.changed.items():
        yield warning(
            "old-root-changed",
            "Something in the old root was changed since the engine left it",
            f"In {root}: {', '.join(changed[:5])}. {_by_us(left)}Whether it is still whole cannot be told.",
        )


def _by_us(left: WayBack) -> str:
    """Who has changed something there, if it was we: an engine writes some files at each start."""
    if not left.undone:
        return ""
    return f"The engine was started there by a way back that failed and was undone: run {', '.join(left.undone)}. "


def store(facts: HostFacts, left: WayBack) -> Iterator[Finding]:
    """The old root is one that the engine works on as it did when it left. By then it may have brought its images to
    containerd (`features.containerd-migration`), or have been set up anew; what it takes there is not known."""
    now = facts.engine.store, facts.engine.driver
    if left.kept is None or left.kept == now:
        return
    yield error(
        "store-since",
        "The engine keeps its images elsewhere since it was moved",
        f"It was moved with {left.kept[1]} ({left.kept[0]}), and works with {now[1]} ({now[0]}) now. On the old root "
        "it would have none of its images of today, or not start on what it finds.",
        f"Stay on {facts.data_root}. To have its data at the old place: relocator cleanup, then relocator "
        f"{left.source}",
    )


def gone_since(_facts: HostFacts, left: WayBack) -> Iterator[Finding]:
    """What both data roots share is as it is now."""
    if left.lost:
        yield warning(
            "gone-since",
            "Something was removed since that the way back cannot bring back",
            f"It was in {left.shared}, which has stayed where it is: {left.lost}.",
            "The old root may list such a container all the same, and cannot start it; then: docker rm NAME",
        )


def since(facts: HostFacts, left: WayBack) -> Iterator[Finding]:
    """The data root stays, and with it containers that the old containerd root has no layers of."""
    if left.held and (names := made_since(left.held, facts.inventory)):
        yield error(
            "containers-since",
            "Containers were made since containerd's root was moved",
            f"The old one has nothing of what they are made of: {', '.join(names[:5])}{' …' if names[5:] else ''}.",
            "Remove them first, if they can be made anew: docker rm",
        )


def version(facts: HostFacts, left: WayBack) -> Iterator[Finding]:
    if facts.engine.version != left.engine_version:
        yield warning(
            "engine-version",
            "The engine is another version now",
            f"The old root was last used by {left.engine_version}, the engine is {facts.engine.version} now.",
        )


def of_containerd(facts: HostFacts, left: WayBack) -> Iterator[Finding]:
    """containerd must be where the move has put it, and its root set where the move has set it."""
    found, along = facts.containerd, left.images
    if along is None:
        return
    if found is None or found.is_managed:
        yield error("root-differs", "The engine does not keep its images any more where the last move has put them",
                    f"The move has put containerd's root on {along.target}.")  # fmt: skip
        return
    yield from images.of_root(facts, found)
    yield from of_setting(facts, found)
    yield from images.users(facts, found)
    yield from images.sub_mounts(facts, found)
    if str(found.root) != along.target:
        yield error("root-differs", "containerd does not work where the last move has put it",
                    f"It works on {found.root}; the move has put it on {along.target}.")  # fmt: skip
    if found.place and along.is_elsewhere(found.place):
        yield error("setting-moved", "containerd's root is set in another place than the move has set it in",
                    f"It is set in {found.place.text()}; the move has changed {along.path}.",
                    f"Set it there to {along.source} by hand, and the data root to "
                    f"{left.source}, both while both are stopped.")  # fmt: skip
