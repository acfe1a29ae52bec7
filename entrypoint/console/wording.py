"""What a terminal shows for each event; a pipe shows the event itself.

An event without a sentence of its own is shown as its name and facts, so that nothing is ever hidden.
"""

import re
import shutil
import textwrap
from collections.abc import Mapping
from typing import Any

# What a terminal acts on, what turns the direction of a text, and halves of characters, which cannot be written.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
SENTENCES: Mapping[str, str] = {
    "phase.started": "• {phase} …",
    "phase.finished": "✓ {phase}  ({seconds:.1f} s)",
    "finding": "  [{severity}] {title} [{id}]: {detail}\n      {remedy}",
    "plan.row": "  {what:<18}  {value}",
    "plan.step": "  {number}. {does}",
    "plan.edit": "\n{diff}",
    "plan.ended": "Nothing was changed. To do it: relocator {words}",
    "plan.container": "  {name}: {fate}",
    "check.passed": "The move to {target} is possible. Nothing was changed.",
    "already_there": "The engine already keeps its data in {target}. Nothing to do.",
    "layers.copied": "  {layers} image layers {how} ({size})",
    "shards.copied": "  everything else copied, in {shards} parts ({size})",
    "progress": "  {percent} %  {size} of {of}, {files} files, {rate}  {left}",
    "doing": "  {what} …",
    "rest.compared": "  {entries} other entries compared, {again} copied once more",
    "layers.checked": "  equal to the source: {layers} layers",
    "pass.finished": "  pass {number}: {size} sent, {files} files ({seconds:.1f} s)",
    "handed_over": "The engine goes down now, for some seconds; until it is back, `docker` fails. The unit {unit} on "
    "the host carries on.\n"
    "  its outcome, once there is one:\n"
    "    {wait}\n"
    "  meanwhile:  journalctl -fu {unit}",
    "held": "Run {run} is held: the copy is ready. To switch: relocator go    To give it up: relocator abort",
    "held.by_unit": "The engine runs on. The unit {unit} on the host makes the copy ready and keeps it up to date, "
    "until it goes.\n  how it stands:  relocator status\n  to switch:  relocator go\n"
    "  to give it up:  relocator abort",
    "held.ready": "ready: press {key} to switch (Ctrl-C leaves it held)",
    "held.left": "Run {run} stays held. To switch: relocator go    To give it up: relocator abort",
    "held.against": "! {why}\n  It is held as before.",
    "held.ended": "! Run {run} has ended: {why}",
    "held.unwritten": "! How the run stands cannot be written down: {why}",
    "going": "The engine is stopped now.",
    "going.already": "Run {run} goes already. Its outcome:\n    {wait}",
    "pace": "The copy of run {run} {pace}.",
    "aborted": "Run {run} was ended. Nothing was changed; the copy {copy}.",
    "aborted.back": "Run {run} was taken back: the engine runs on the old root.",
    "swarm.locked": "! The swarm is locked: enter its key on this host (docker swarm unlock), within {minutes} minutes",
    "swarm.unproven": "! The swarm is still locked: that its services run was not seen. Later: docker swarm unlock",
    "adoption.proven": "  the engine holds what is in the adopted root: {containers} containers, {volumes} volumes",
    "stays": "! {reason}\n  Containers have run on the new root: it is finished there, and nothing is taken back",
    "again": "  trying again to {doing} ({why})",
    "amiss": "! {what}",
    "unsettled": "! Run {run} is not settled: who only asks has no engine stopped. What is left is to {would}.\n"
    "  To have that done, and no more: {command}",
    "container.failed": "! {container} cannot be put as it stood: {why}",
    "already_back": "The engine was taken back to {root} already. Nothing to do.",
    "loss.made": "  only on the root that is left: {what}",
    "loss.removed": "  there again: {what}, removed since",
    "loss.written": "  not there: what was written to {place} since ({files} files, now {size})",
    "loss.told": "The engine would run on {root} as the move left it. What was written since stays in {left}.",
    "rollback.asked": "Nothing was changed. To go back all the same: {agree}",
    "cleanup.asked": "Nothing was removed. Once it is removed there is no way back to it. To remove it for good: "
    "{agree}",
    "cleanup.nothing": "No root that a move has left is on record in /var/lib/relocator. Nothing to do.",
    "cleanup.proven": "The engine runs on {root}, with {containers} containers, {images} images, {volumes} volumes.",
    "cleanup.found": "The old root {root} takes {size} ({entries} files and directories).",
    "cleanup.copy": "{root} is the copy of a move that failed ({why}), and is not removed by this. If you need "
    "nothing of it, empty it yourself.",
    "cleanup.unfinished": "{root} is an unfinished copy, which the next move there goes on with. If there is to be "
    "none, empty it yourself.",
    "cleanup.only": "  only there: {what}",
    "cleanup.written": "  only there: what was written to {place} before the way back ({files} files, now {size})",
    "cleanup.behind": "! Only in {root}: what was written to {place} after the engine had left it ({files} files, now "
    "{size})",
    "cleanup.progress": "  {root}: {removed} of {entries} removed",
    "cleanup.removed": "The data in {root} is removed ({removed} files and directories).",
    "cleanup.directory": "  The directory {root} itself stays: {kept}.",
    "cleanup.kept": "  left in {root}, for it is not the engine's: {names}",
    "report.part": "  {name}  ({size})",
    "report.written": "The report is in {path}, readable by root alone. It has names of containers, volumes and paths. "
    "Look at it before you pass it on:\n  tar -xzOf {path} | less",
    "report.asked": "Nothing was written. What may be secret is left out, or shown as ***. To write it: "
    "relocator report /root/report.tar.gz",
    "target.removed": "  the unfinished copy in {target} is removed",
    "giving_up": "! {why}: what was copied {copy}; the engine was not stopped",
    "clock.set": "! The clock was set: everything is looked at once more, while the engine runs",
    "retry": "  waiting for {waiting_for} ({why})",
}
OPTIONAL = {"remedy": "\n      {remedy}", "files": ", {files} files"}
COUNTED = re.compile(r"\{(\w+)\} (?:image )?(?:layers|parts|files|minutes|containers|images|volumes)\b")
WRAPPED = {"plan.row": 22, "plan.step": 5, "plan.container": 4}  # the column of what is told
HIDDEN = frozenset({"event", "level", "timestamp", "run", "phase"})
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def is_told_later(event: Mapping[str, Any]) -> bool:
    """Whether the last word will say it: what refuses a command is told there, all of it together."""
    return event["event"] == "finding" and event.get("severity") == "error"


def sentence(event: Mapping[str, Any]) -> str:
    """One event in words."""
    name = str(event["event"])
    template = SENTENCES.get(name)
    if template is not None:
        try:
            return wrapped(fitting(template, event).format(**event), WRAPPED.get(name, 0))
        except (KeyError, ValueError):
            pass  # a fact is missing: better the raw event than no line
    mark = "! " if event.get("level") in ("warning", "error", "critical") else "  "
    facts = " ".join(f"{key}={value}" for key, value in event.items() if key not in HIDDEN)
    return f"{mark}{name} {facts}".rstrip()


def fitting(template: str, event: Mapping[str, Any]) -> str:
    """A template without what there is nothing to say of, and with one of a thing named as one."""
    for key, part in OPTIONAL.items():
        if not event.get(key):
            template = template.replace(part, "")
    return COUNTED.sub(lambda found: found[0] if event[found[1]] != 1 else found[0].removesuffix("s"), template)


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def wrapped(line: str, indent: int) -> str:
    """A row of a table within the terminal's width, its further lines below its second column."""
    columns = shutil.get_terminal_size().columns
    if not indent or columns < 2 * indent:
        return line
    return textwrap.fill(line, columns, subsequent_indent=" " * indent, break_on_hyphens=False, break_long_words=False)


def harmless(text: str) -> str:
    """A text of several lines without power over a terminal: what others have named may be in it. It can be written,
    too, whatever bytes a name has that are no text."""
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def printable(text: str) -> str:
    """What somebody else has written, on one line and without power over a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def size(count: int) -> str:
    """A number of bytes in words."""
    amount = float(count)
    for unit in UNITS:
        if abs(amount) < 1024 or unit == UNITS[-1]:
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def bar(percent: int, width: int = 20) -> str:
    done = percent * width // 100
    return "█" * done + "░" * (width - done)


def duration(seconds: float) -> str:
    """A time that is left."""
    return f"{span(seconds)} left"


def span(seconds: float) -> str:
    """A length of time, as roughly as it is known."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
