"""A host on which the data root is set in one way after another, and moved from each."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.hosts import Disk, Host, boot
from tests.hosts.content import Inventory, differences, inventory
from tests.hosts.survey import compare
from tests.system.support.moving import ATTACHED, DISK, await_worker, configuration, relocator

HELD = f"{DISK}/held"  # the data root, while the configuration is another
SAVED = "/root/saved"
KEPT = ("etc/docker", "etc/default", "etc/systemd/system", "lib/systemd/system", "etc/subuid", "etc/subgid")
SERVICE = "docker.service"
USUAL = ("docker.socket", SERVICE)
BEATING = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"


@dataclass
class Bench:
    """`root` is where the engine's data is; `units` are those that run it under the present configuration."""

    host: Host
    root: str = "/var/lib/docker"
    units: tuple[str, ...] = USUAL
    undo: str = ":"
    moves: int = 0

    def next_target(self) -> str:
        self.moves += 1
        return f"{DISK}/root-{self.moves}"

    def reset(self) -> None:
        """Everything as the distribution has it, the engine down, its data in HELD."""
        restore = "; ".join(f"rm -rf /{one}; cp -a {SAVED}/{one} /{one}" for one in KEPT if self._is_saved(one))
        self.host.run(f"""
            systemctl stop {" ".join(self.units)} docker.socket docker.service || :
            {self.undo} || :
            rm -rf /etc/sysconfig /usr/lib/systemd/system/docker.service.d /srv/* /nix; {restore}
            systemctl daemon-reload
            if [ {self.root} != {HELD} ]; then rm -rf {HELD}; mv -- {quoted(self.root)} {HELD}; fi
        """)
        self.root, self.units, self.undo = HELD, USUAL, ":"

    def _is_saved(self, path: str) -> bool:
        return self.host.run(f"test -e {SAVED}/{path} -o -L {SAVED}/{path}", check=False).returncode == 0

    def save(self) -> None:
        for one in KEPT:
            self.host.run(f"[ ! -e /{one} ] || (mkdir -p $(dirname {SAVED}/{one}); cp -a /{one} {SAVED}/{one})")

    def configure(
        self, script: str, source: str, units: Sequence[str] = USUAL, *, real: str = "", undo: str = ":"
    ) -> None:
        """A way to set the data root: the script makes it, the engine must then be on `source`.

        The data is put there, unless the script puts it elsewhere itself: `real`. `undo` is run before the next one.
        """
        self.reset()
        self.units, self.undo = tuple(units), undo
        if not real:
            self.host.run(f"mkdir -p $(dirname {quoted(source)}); rm -rf {quoted(source)}; mv {HELD} {quoted(source)}")
            self.root = source
        self.host.run(f"{script}\nsystemctl daemon-reload; systemctl reset-failed {' '.join(self.units)} || :")
        self.root = real or source
        self.start()
        assert self.engine_root() == source, self.host.journal(self.units[-1])

    def start(self) -> None:
        self.host.run(f"systemctl start {' '.join(self.units)}")
        self.host.wait_docker()

    def engine_root(self) -> str:
        return self.host.docker("info", "--format", "{{.DockerRootDir}}")


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


@contextmanager
def bench(suite: str) -> Iterator[Bench]:
    with Disk("8G", "ext4") as disk, boot(suite, name=f"bench-{suite}", disks={DISK: disk}) as host:
        made = Bench(host)
        made.save()
        host.docker("volume", "create", "data")
        for name, policy in (("always", "always"), ("plain", "no")):
            host.docker("run", "--detach", f"--name={name}", f"--restart={policy}", "--volume=data:/data", "busybox",
                        "sh", "-c", BEATING)  # fmt: skip
        yield made


def assert_moved(bench: Bench, target: str, *, within: str = "", given: Sequence[str] = ATTACHED) -> str:
    """A whole move with all that is promised; what it printed. The engine works `within` a directory of the target."""
    host = bench.host
    held = inventory(host)
    answer = relocator(host, target, "--same-disk", given=given)
    assert answer.returncode == 10, answer.stdout + answer.stderr
    await_worker(host)
    told = json.loads(relocator(host, "status", "--wait", "--json", given=given).stdout)
    assert (told["state"], told["exit_code"]) == ("committed", 0), f"{told}\n{host.journal('relocator.service')}"
    bench.root = target
    assert_same(held, inventory(host), f"{target}{within}")
    return answer.stdout


def assert_same(before: Inventory, after: Inventory, root: str) -> None:
    assert after.engine.root == root
    assert differences(before, after, ignore=("engine.root", "engine.driver_status.*")) == []


def assert_refused(
    bench: Bench,
    finding: str,
    says: Sequence[str],
    target: str = f"{DISK}/new",
    given: Sequence[str] = ATTACHED,
) -> None:
    """Exit 3, what to do is said, and nothing at all has changed."""
    host = bench.host
    was, held = configuration(host, None), inventory(host)
    answer = relocator(host, target, "--same-disk", given=given)
    assert answer.returncode == 3, answer.stdout + answer.stderr
    for words in (f"[{finding}]", *says):
        assert words in answer.stderr, f"{words!r} is not in {answer.stderr}"
    found = compare(was, configuration(host, None))
    assert not found, str(found)
    assert differences(held, inventory(host)) == []


def assert_only_root(before: str, after: str, old: str, new: str) -> None:
    """An edited file says what it said, but for the data root."""
    assert after != before
    if after.lstrip("\ufeff").startswith("{"):
        assert json.loads(after.lstrip("\ufeff")) == {
            **{key: value for key, value in json.loads(before.lstrip("\ufeff") or "{}").items() if key != "graph"},
            "data-root": new,
        }
        key = re.compile(r'(,\s*)?"(data-root|graph)"\s*:\s*"[^"]*"')
        assert key.sub("", after) == key.sub("", before) or not before.lstrip("\ufeff").strip()
    else:
        assert after == before.replace(old, new)
