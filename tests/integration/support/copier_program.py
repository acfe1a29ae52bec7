"""The copier alone, as a program: `SOURCE TARGET OPTIONS`, made of the package that PYTHONPATH names.

It stops after the pre-copy, so that an attacker can be ended there as the freeze ends containers, and goes on when it
is told to by a line. Each answer is one line of JSON. What an earlier run has left in the target is gone on with;
`--discard` removes it. With `--swap=NAME` a name of the source is exchanged for the one beside it as soon as it was
decided how to cut the tree, which an attacker only meets by chance. Nothing waits for a disk, and directories are cut
early, if the tree is not `--large`. With `--deepest=COUNT` fewer directories in each other are too many.
"""

import io
import json
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

from entrypoint.console import events
from entrypoint.console.errors import RelocatorError
from entrypoint.copy import bulk, copied, cp, transfer
from entrypoint.copy import copier as copying
from entrypoint.copy.copier import Copier
from entrypoint.copy.looking import changes, comparison, shards
from entrypoint.journal.unfinished import NAME, Unfinished
from entrypoint.move.roots.discard import remove_copy


def quicken(*, is_small: bool) -> None:
    for module in (bulk, copying):
        put(module, "flush", lambda *_: None)
    for module in (changes, cp, shards):
        if hasattr(module, "polite_command"):
            put(module, "polite_command", list)
    put(copied, "RACY", 0.05)
    if is_small:
        for name, value in (("LARGE_COUNT", 15), ("SMALL_COUNT", 60)):
            put(shards, name, value)
        put(transfer, "BATCH", 60)


def put(module: Any, name: str, value: object) -> None:
    """In place of something that is there."""
    getattr(module, name)
    setattr(module, name, value)


def swap_after_cut(place: Path) -> None:
    real = shards.cut

    def swapping(*arguments: Any) -> Any:
        found = real(*arguments)
        aside, other = place.with_name("between"), place.with_name(f"{place.name}.aside")
        place.rename(aside)
        other.rename(place)
        aside.rename(other)
        return found

    put(copying, "cut", swapping)


def answer(**told: object) -> None:
    print(json.dumps(told), flush=True)


def copy(source: Path, target: Path, *, same_file_system: bool) -> None:
    copier = Copier(source, target, same_file_system)
    record = Unfinished.read(target) or Unfinished.begun("/source", "ID")
    record.write(target)
    made = copier.pre_copy(record)
    answer(step="pre-copy", layers=sorted(made.layers))
    sys.stdin.readline()
    copier.require_target(made)
    copier.final_sync(made)
    entries = copier.check(made)
    most = max(own_peak(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    answer(step="check", entries=entries, megabytes=most >> 10)


def own_peak() -> int:
    """Of this program, in KiB. getrusage(2) counts what the program had that started it, until the exec."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM:"))
    return int(line.split()[1])


def main() -> None:
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    events.configure(io.StringIO())
    quicken(is_small="--large" not in sys.argv)
    for word in sys.argv:
        if word.startswith("--swap="):
            swap_after_cut(source / word.removeprefix("--swap="))
        if word.startswith("--deepest="):
            for module in (changes, comparison):
                put(module, "DEEPEST", int(word.removeprefix("--deepest=")))
    try:
        if "--discard" in sys.argv:
            remove_copy(target)
            answer(step="discard")
        else:
            copy(source, target, same_file_system="--same" in sys.argv)
    except RelocatorError as error:
        answer(failed=error.text(), kept=(target / NAME).exists())
    except Exception:
        answer(failed=traceback.format_exc(), kept=(target / NAME).exists())


if __name__ == "__main__":
    main()
