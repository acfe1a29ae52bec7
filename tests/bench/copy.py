"""One pre-copy, or one final sync and check, in a process of its own, with everything imported that a move imports.

    python -m tests.bench.copy pre SOURCE TARGET STATE       copy, and write to STATE what the worker would be given
    python -m tests.bench.copy final SOURCE TARGET STATE     what happens with the engine down

It prints a line of JSON: seconds of each part.
"""

import io
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import entrypoint.__main__
from entrypoint.console import events as log
from entrypoint.copy.copied import Copied
from entrypoint.copy.copier import Copier
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.journal.unfinished import Unfinished

T = TypeVar("T")
assert entrypoint.__main__


def main(part: str, source: str, target: str, state: str) -> None:
    events = io.StringIO()
    log.configure(events)
    same = os.stat(source).st_dev == os.stat(target).st_dev
    copier = Copier(Path(source), Path(target), same)
    told = pre(copier, Path(state)) if part == "pre" else final(copier, Path(state))
    kept = ("layers.copied", "shards.copied", "pass.finished", "rest.compared", "final_sync.sent")
    lines = [json.loads(line) for line in events.getvalue().splitlines()]
    print(json.dumps({**told, "events": [line for line in lines if line["event"] in kept]}))


def pre(copier: Copier, state: Path) -> dict[str, float]:
    copied, copying = timed(lambda: copier.pre_copy(Unfinished.begun("/source", "ID")))
    state.write_text(json.dumps(to_json(copied)))
    return {"pre_copy": copying}


def final(copier: Copier, state: Path) -> dict[str, float]:
    copied = from_json(Copied, json.loads(state.read_text()))
    _, looking = timed(lambda: look(copier, copied))
    _, syncing = timed(lambda: copier.final_sync(copied))
    _, checking = timed(lambda: copier.check(copied))
    return {"look": looking, "final_sync": syncing, "check": checking}


def look(copier: Copier, copied: Copied) -> int:
    with copier.confined() as inside:
        return sum(1 for _ in inside.last_look(copied).changes())


def timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.monotonic()
    result = work()
    return result, round(time.monotonic() - began, 3)


if __name__ == "__main__":
    main(*sys.argv[1:])
