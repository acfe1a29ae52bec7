"""`make bench`: how long the engine is away, how long a copy takes, and what it takes of memory.

    python -m tests.bench [--quick] [--out FOLDER]

What is measured is written down after each run; a bench that was stopped goes on where it was. FOLDER gets
`results.json`, `table.md` and, where matplotlib is there, `timelines.png`; docs/bench also docs/measured.md.
"""

import argparse
import sys
from pathlib import Path

from tests.bench import parts, report
from tests.bench.results import Results


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny content, one run of each: whether it works at all")
    parser.add_argument("--out", type=Path, default=report.DEFAULT, help="where the results go")
    parser.add_argument("--report", action="store_true", help="only write the table and the plot anew")
    given = parser.parse_args(arguments)
    results = Results.open(
        given.out / "results.json", parts.QUICK if given.quick else parts.FULL, anew=not given.report
    )
    if not given.report:
        parts.measure(results)
    report.write(results, given.out)
    print((given.out / "table.md").read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
