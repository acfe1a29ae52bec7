"""What a terminal shows for each event; a pipe shows the event itself.

An event without a sentence of its own is shown as its name and facts, so that nothing is ever hidden.
"""

from collections.abc import Mapping
from typing import Any

SENTENCES: Mapping[str, str] = {
    "phase.started": "• {phase} …",
    "phase.finished": "✓ {phase}  ({seconds:.1f} s)",
    "finding": "  [{severity}] {title}: {detail}",
    "plan.step": "  {number}. {does}",
    "plan.edit": "\n{diff}",
    "plan.container": "  {name}: {fate}",
    "check.passed": "Nothing speaks against moving the data root to {target}. Nothing was changed.",
    "already_there": "The engine already keeps its data in {target}. Nothing to do.",
    "layers.copied": "  {layers} immutable layers {how} ({size})",
    "layers.checked": "  {layers} layers are equal to the source",
    "pass.finished": "  pass {number}: {size} sent, {files} files ({seconds:.1f} s)",
    "handed_over": "The engine is going down now. The unit {unit} on the host carries on.\n"
    "  follow it:    journalctl -fu {unit}\n"
    "  its outcome:  docker run --rm --privileged --pid=host {image} status --wait",
    "target.removed": "  the unfinished copy in {target} is removed",
    "retry": "  waiting for {waiting_for} ({why})",
}
HIDDEN = frozenset({"event", "level", "timestamp", "run", "phase"})
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def sentence(event: Mapping[str, Any]) -> str:
    """One event in words."""
    name = str(event["event"])
    template = SENTENCES.get(name)
    if template is not None:
        try:
            return template.format(**event)
        except (KeyError, ValueError):
            pass  # a fact is missing: better the raw event than no line
    mark = "! " if event.get("level") in ("warning", "error", "critical") else "  "
    facts = " ".join(f"{key}={value}" for key, value in event.items() if key not in HIDDEN)
    return f"{mark}{name} {facts}".rstrip()


def size(count: int) -> str:
    """A number of bytes in words."""
    amount = float(count)
    for unit in UNITS:
        if abs(amount) < 1024 or unit == UNITS[-1]:
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
