"""The results as a table of figures and, where matplotlib is there, a plot of the timelines."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.bench.methods import TITLES
from tests.bench.results import Facts, Results

DEFAULT, PAGE = Path("docs/bench"), Path("docs/measured.md")
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
COLOURS = {"up": "#9ecae1", "down": "#d62728"}
MEMORY = 1e6  # bytes in a megabyte


def write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [*machine(results), "", *times(results), "", *figures(results), "", *many(results)]
    (folder / "table.md").write_text("\n".join(lines) + "\n")
    if folder == DEFAULT:
        put_into(PAGE, "\n".join(["![timelines](bench/timelines.png)", "", *lines]))
    with suppress(ImportError):
        plot(results, folder / "timelines.png")


def put_into(page: Path, text: str) -> None:
    """The same between two marks of the page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def machine(results: Results) -> Iterator[str]:
    found, size = results.machine, results.plan["size"]
    yield (
        f"{found['cores']} cores ({found['processor']}), {found['memory_gib']} GiB, Linux {found['kernel']};"
        " a Debian 13 host in systemd-nspawn, Docker 26.1, ext4 on loop devices on one disk;"
        f" load {found['load']:.1f} at the start."
        f" {size['layers']} layers of {size['files']} files and {size['layer_bytes'] >> 20} MiB each,"
        f" a volume of {size['small_files']} files among {4 + size['containers']}, {size['containers']} running"
        f" containers; medians of {results.plan['runs']} with cold caches."
    )


def times(results: Results) -> Iterator[str]:
    """Total and downtime of each way at each scale."""
    scales = results.plan["scales"]
    yield "| | " + " | ".join(f"total {scale}× | downtime {scale}× | worst" for scale in scales) + " |"
    yield "|---|" + "---|" * 3 * len(scales)
    for letter, title in TITLES.items():
        cells = []
        for scale in scales:
            key = f"{letter} {scale}x"
            cells += [f"{results.median('downtime', key, fact):.1f} s" for fact in ("total", "seconds")]
            cells.append(f"{results.worst('downtime', key, 'seconds'):.1f} s")
        yield f"| ({letter}) {title} | " + " | ".join(cells) + " |"


def figures(results: Results) -> Iterator[str]:
    yield "| figure | must reach | aim | measured |"
    yield "|---|---|---|---|"
    for title, must, aim, measured in FIGURES:
        yield f"| {title} | {must} | {aim} | {measured(results)} |"


def away(results: Results, letter: str, scale: int, fact: str = "seconds") -> float:
    return results.median("downtime", f"{letter} {scale}x", fact)


def by_bare(results: Results) -> str:
    """Of (d) and (e), median by median and worst by median."""
    bare = away(results, "a", 1)
    worst = {letter: results.worst("downtime", f"{letter} 1x", "seconds") / bare for letter in "de"}
    found = (f"{away(results, letter, 1) / bare:.2f}, worst {worst[letter]:.2f}" for letter in "de")
    return "; same file system ".join(found)


def by_scale(results: Results) -> str:
    small, large = results.plan["scales"][0], results.plan["scales"][-1]
    return "; same file system ".join(f"{away(results, one, large) / away(results, one, small):.2f}" for one in "de")


def by_rsync(results: Results) -> str:
    found = (f"1/{away(results, 'b', scale) / away(results, 'd', scale):.0f}" for scale in results.plan["scales"])
    return ", ".join(found)


def bulk_by(other: str) -> Callable[[Results], str]:
    def measured(results: Results) -> str:
        ours, theirs = results.median("copy", "ours", "seconds"), results.median("copy", other, "seconds")
        return f"{ours / theirs:.2f} ({ours:.1f} s, {theirs:.1f} s)"

    return measured


def same_by_cp(results: Results) -> str:
    whole, cp = away(results, "e", 1, "total"), results.median("copy", "cp", "seconds")
    spans = [span for run in results.all("downtime", "e 1x") for span in run["spans"] if span[0] == "pre-copy"]
    copying = sorted(end - begin for _, begin, end in spans)[len(spans) // 2]
    return f"{whole / cp:.2f} for the whole move, {copying / cp:.2f} for its copy ({whole:.1f} s, {copying:.1f} s)"


def memory(results: Results) -> str:
    found = results.all("many", "memory")[0]
    return f"{found['peak'] / MEMORY:.0f} MB ({found['files']:,} files)"


def slowdown(results: Results) -> str:
    return f"{100 * results.median('writes', 'relocator', 'slowdown'):.0f} %"


FIGURES: tuple[tuple[str, str, str, Callable[[Results], str]], ...] = (
    ("downtime ÷ bare restart", "≤ 1.3", "1.1", by_bare),
    ("downtime at the larger image data ÷ at the smaller", "≤ 1.1", "1.0", by_scale),
    ("downtime ÷ that of (b)", "≤ 1/10", "1/20", by_rsync),
    ("bulk copy ÷ `rsync -aHAXS`, both flushed", "≤ 0.6", "0.3", bulk_by("rsync")),
    ("bulk copy ÷ `cp -a`, both flushed", "≤ 0.8", "0.6", bulk_by("cp")),
    ("same file system: total ÷ `cp -a`", "≤ 0.25", "0.1", same_by_cp),
    ("peak memory of all processes", "≤ 200 MB", "120 MB", memory),
    ("slowdown of a container's writes during the copy", "≤ 20 %", "5 %", slowdown),
)


def many(results: Results) -> Iterator[str]:
    found, rsync = results.all("many", "final")[0], results.all("many", "rsync")[0]
    yield (
        f"A volume of {results.plan['many']:,} files of which {results.plan['changed']} changed: final sync"
        f" {found['final_sync']:.2f} s, of which looking at what has not changed {found['look']:.2f} s; check"
        f" {found['check']:.2f} s. `rsync -aHAXSn` takes {rsync['seconds']:.1f} s to find the same."
    )


def plot(results: Results, place: Path) -> None:
    """A bar for each way and scale: the median run, with the engine up and down."""
    from matplotlib import pyplot

    scales = results.plan["scales"]
    figure, axes = pyplot.subplots(len(scales), 1, figsize=(10, 2.2 * len(scales)), squeeze=False)
    for axis, scale in zip(axes[:, 0], scales, strict=True):
        for row, letter in enumerate(reversed(TITLES)):
            _bar(axis, row, middle(results.all("downtime", f"{letter} {scale}x")))
        axis.set_yticks(range(len(TITLES)), [f"({letter}) {title}" for letter, title in reversed(TITLES.items())])
        axis.tick_params(labelsize=8)
        axis.set_xlim(right=1.15 * axis.get_xlim()[1])
        axis.set_title(f"{scale}× image data", loc="left", fontsize=9)
        axis.set_xlabel("seconds; red: containers away", fontsize=8)
    figure.tight_layout()
    figure.savefig(place, dpi=120)


def middle(runs: list[Facts]) -> Facts:
    return sorted(runs, key=lambda run: float(run["seconds"]))[len(runs) // 2]


def _bar(axis: Any, row: int, run: Facts) -> None:
    start = run["start"] - run["began"]
    axis.barh(row, run["total"], height=0.5, color=COLOURS["up"])
    axis.barh(row, run["seconds"], left=start, height=0.5, color=COLOURS["down"])
    axis.text(run["total"], row, f"  {run['seconds']:.1f} s of {run['total']:.0f} s", va="center", fontsize=7)
