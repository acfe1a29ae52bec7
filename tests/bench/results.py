"""What was measured, kept in a file that is written after each run."""

import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

Facts = dict[str, Any]


@dataclass
class Results:
    """`runs` are facts with a `part`, a `key` and a `number`; `plan` says what all of it was measured on."""

    path: Path
    plan: Facts
    machine: Facts = field(default_factory=dict)
    runs: list[Facts] = field(default_factory=list)
    complete: bool = False

    @classmethod
    def open(cls, path: Path, plan: Facts, *, anew: bool) -> "Results":
        """Those of a bench that was stopped; new ones if there is none, it was of something else, or is complete."""
        if path.exists():
            stored = json.loads(path.read_text())
            if stored["plan"] == plan and not (anew and stored["complete"]):
                return cls(path, **stored)
        return cls(path, plan, describe_machine())

    def has(self, part: str, key: str, number: int) -> bool:
        return any((run["part"], run["key"], run["number"]) == (part, key, number) for run in self.runs)

    def add(self, part: str, key: str, number: int, **facts: Any) -> None:
        self.runs.append({"part": part, "key": key, "number": number, **facts})
        self.save()
        shown = {name: value for name, value in facts.items() if not isinstance(value, (list, dict))}
        print(f"{part} {key} {number}: {shown}", flush=True)

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stored = {name: getattr(self, name) for name in ("plan", "machine", "runs", "complete")}
        self.path.write_text(json.dumps(stored, indent=1) + "\n")

    def all(self, part: str, key: str) -> list[Facts]:
        return [run for run in self.runs if (run["part"], run["key"]) == (part, key)]

    def median(self, part: str, key: str, fact: str) -> float:
        return float(median(run[fact] for run in self.all(part, key)))

    def worst(self, part: str, key: str, fact: str) -> float:
        return float(max(run[fact] for run in self.all(part, key)))


def describe_machine() -> Facts:
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return {
        "cores": os.cpu_count(),
        "processor": model[0] if model else platform.machine(),
        "memory_gib": round(int(memory.split()[1]) / 2**20),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
    }
