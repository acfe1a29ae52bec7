"""`make demo`: the main job on a disposable host, with real content, shown as an operator sees it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.table import Table

from tests.hosts import Disk, Host, boot
from tests.hosts.content import Content, Size, differences, downtime, inventory, populate
from tests.system.support.moving import DISK, EQUIPPED, IMAGE, SOURCE, TARGET, await_worker

SIZE = Size(layers=6, files_per_layer=1500)
console = Console(soft_wrap=True)


def main() -> int:
    """Exit code 0 when the move was committed and nothing is missing."""
    console.rule("relocator: a demonstration")
    with ExitStack() as stack:
        with stage("Building the image and a host; the first time takes two minutes"):
            disk = stack.enter_context(Disk("8G", "ext4"))
            host = stack.enter_context(boot(name="demo", disks={DISK: disk}))
        with stage("Filling its engine: images, volumes, containers that write a heartbeat"):
            content = populate(host, SIZE)
        return show(host, content)


def show(host: Host, content: Content) -> int:
    before = inventory(host)
    state(host, "before")
    code = run(host, "plan", TARGET) or run(host, TARGET)
    await_worker(host)
    outcome = run(host, "status", "--wait")
    state(host, "after")
    lost = differences(before, inventory(host), ignore=("engine.root", "engine.driver_status.*"))
    seen(host, content)
    console.print(f"missing or changed: {lost or 'nothing'}")
    return 0 if (code, outcome, lost) == (10, 0, []) else 1


def run(host: Host, *arguments: str) -> int:
    """A command as one would type it; its output goes straight to the terminal."""
    line = ["docker", "run", "-t", "--rm", *EQUIPPED, IMAGE, *arguments]
    console.print(f"\n[bold]# {' '.join(line)}[/bold]")
    sys.stdout.flush()
    code = host.popen(line, stdout=sys.stdout.fileno(), stderr=subprocess.STDOUT).wait(600)
    console.print(f"[dim]exit code {code}[/dim]")
    return code


def state(host: Host, when: str) -> None:
    table = Table(title=when, title_justify="left", show_header=False)
    table.add_row("data root", host.docker("info", "--format", "{{.DockerRootDir}}"))
    table.add_row("running", host.docker("info", "--format", "{{.ContainersRunning}} of {{.Containers}} containers"))
    table.add_row("images", host.docker("info", "--format", "{{.Images}}"))
    for place in (SOURCE, TARGET):
        held = host.run(f"du -shx {place} 2>/dev/null || echo 'not there'", check=False).stdout.split("\t")[0].strip()
        table.add_row(place, held)
    console.print()
    console.print(table)


def seen(host: Host, content: Content) -> None:
    """The downtime as the containers saw it: the longest gap in what each writes every tenth of a second."""
    gaps = {name: downtime(host, name).seconds for name in content.beating}
    worst = max(gaps, key=lambda name: gaps[name])
    console.print(f"\ndowntime seen by {len(gaps)} containers: {min(gaps.values()):.1f}-{gaps[worst]:.1f} s ({worst})")


@contextmanager
def stage(title: str) -> Iterator[None]:
    console.print(f"[bold]{title} …[/bold]")
    began = time.monotonic()
    yield
    console.print(f"[dim]{time.monotonic() - began:.0f} s[/dim]")


if __name__ == "__main__":
    sys.exit(main())
