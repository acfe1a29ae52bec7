"""The last run as one page that needs nothing else: no script, no font, no address is fetched."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from html import escape
from pathlib import Path

from entrypoint import __version__
from entrypoint.commands.status import text
from entrypoint.commands.status.status import Status
from entrypoint.commands.status.timeline import Span
from entrypoint.console import command, wording
from entrypoint.console.discretion import told
from entrypoint.console.errors import UsageError
from entrypoint.host.disks.filesystem import atomic_write
from entrypoint.host.host import Host
from entrypoint.preflight.request import parse_path

# A browser keeps to it, whatever a name on the host may hold.
NOTHING_ELSE = "default-src 'none'; style-src 'unsafe-inline'"
WIDTH, ROW, NAMES, FIGURES = 720, 26, 170, 80  # pixels of the picture; names have room for the letters of a telephone
HEAD = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
TITLE = "relocator: "
LEGEND = (
    '<p class="legend"><span class="there">■</span> the engine runs   '
    '<span class="away">■</span> the engine is away</p>'
)
STYLE = """
:root { color-scheme: light dark; --away: #c0392b; --there: #2e86c1; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
svg { width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg text { fill: currentColor; }
td, th { text-align: left; padding: .2rem 1.5rem .2rem 0; vertical-align: top; }
td, h1 { overflow-wrap: anywhere; }
th { white-space: nowrap; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; }
.away { fill: var(--away); color: var(--away); } .there { fill: var(--there); color: var(--there); }
rect, .legend span { print-color-adjust: exact; }
@media (max-width: 40rem) {
  body { margin: 1rem auto; } h1 { font-size: 1.3rem; } svg { font-size: 22px; }
  th, td { display: block; padding: 0; } th { padding-top: .6rem; }
}
@media print { body { max-width: none; margin: 0; font-size: 11pt; } svg, tr { break-inside: avoid; } }
"""


def place_of(host: Host, name: str) -> Path:
    """Where a page is to be written, by a path of the host; an older page is replaced. Raises UsageError."""
    return destination(host, name, "page", "/root/relocator.html, or - for standard output", is_page)


def destination(host: Host, name: str, kind: str, such: str, replaced: Callable[[Path], bool]) -> Path:
    """Where a page or the like is to be written, by a path of the host. Raises UsageError where something else is."""
    path = parse_path(name, f"{kind}'s file", such)
    place = host.path(host.resolve(path))
    if not place.parent.is_dir():
        raise UsageError(f"There is no directory {path.parent}.", resolution="Name a file in one that is there.")
    if place.exists() and not replaced(place):
        raise UsageError(
            f"{path} is there already, and is no {kind} of relocator's.",
            resolution="Name a file that is not there.",
        )
    return place


def is_page(place: Path) -> bool:
    with suppress(OSError):
        return place.is_file() and place.read_bytes().startswith(f"{HEAD}<title>{TITLE}".encode())
    return False


def save(place: Path, status: Status) -> None:
    """Raises UsageError if the file cannot be written."""
    try:
        atomic_write(place, page(status).encode())
    except OSError as error:
        raise UsageError("The page cannot be written.", details=str(error), resolution="Name another file.") from error


def page(status: Status) -> str:
    title = escape(f"{TITLE}run {status.run or '–'}, {status.state}")
    return (
        f"{HEAD}<title>{title}</title>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{NOTHING_ELSE}">\n'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body><h1>{title}</h1>\n<pre>{escape(command.told(told(text.text(status))))}</pre>\n"
        f"{drawing(status.timeline)}\n{table(status)}\n<p>relocator {escape(__version__)}</p></body></html>\n"
    )


def table(status: Status) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in _facts(status))
    return f"<table>{rows}</table>"


def _facts(status: Status) -> Iterator[tuple[str, str]]:
    yield "exit code", str(int(status.exit_code))
    for name, value in (("host", status.host), ("began", status.began), ("ended", status.ended)):
        if value:
            yield name, value
    if status.source:
        yield "from", status.source
        yield "to", status.target
    if status.containerd:
        yield "containerd's root", " → ".join(status.containerd)
    if status.downtime is not None:
        yield "engine away", f"{status.downtime:.1f} s"
    for kind, count in status.verified.items():
        yield f"{kind} verified", str(count)
    if status.old_root:
        yield "old data root", f"{status.source}, {status.old_root}"
    if status.frees and status.old_root == "kept":
        yield "cleanup gives back", wording.size(status.frees)


def drawing(spans: tuple[Span, ...]) -> str:
    """The phases as bars at their places in the whole, those without an engine in another colour."""
    if not spans:
        return ""
    begin = spans[0].began
    whole = max(span.began + span.seconds for span in spans) - begin or 1.0
    scale = (WIDTH - NAMES - FIGURES) / whole
    bars = "".join(_bar(span, number, begin, scale) for number, span in enumerate(spans))
    height = ROW * len(spans)
    picture = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Red: the engine was away">{bars}</svg>'
    return f"{picture}\n{LEGEND}"


def _bar(span: Span, number: int, begin: float, scale: float) -> str:
    top, left, long = ROW * number, NAMES + (span.began - begin) * scale, max(1.5, span.seconds * scale)
    colour = "away" if span.away else "there"
    return (
        f'<text x="0" y="{top + 17}">{escape(span.phase)}</text>'
        f'<rect class="{colour}" x="{left:.1f}" y="{top + 4}" width="{long:.1f}" height="{ROW - 8}"/>'
        f'<text x="{left + long + 5:.1f}" y="{top + 17}">{span.seconds:.1f} s</text>'
    )
