"""The table of bad input: what is typed, how it is run, and what must be said. `test_refusals.py` runs it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle

from tests.system.support.moving import ATTACHED, DISK

SMALL, FEW = "/mnt/small", "/mnt/few"
GOOD = f"{DISK}/new/deep"
FULL, FIXED = f"{DISK}/full", f"{DISK}/fixed"
SOCKET = ("--rm", "-v", "/var/run/docker.sock:/var/run/docker.sock")
PROGRAM = "/usr/bin/python3 -I -u -B -X utf8 -m entrypoint"  # as the image starts it


@dataclass(frozen=True)
class Case:
    """`words` are what is typed after the image's name, `given` what before it.

    `streams` is what a shell is told about the program's streams. `first` and `last` are run on the host before and
    after, `meanwhile` between the plan and the first act. `wide` is the width of a terminal, if there is one.
    `said` is looked for in everything that is told; nothing can be told where the stream for it is gone.
    """

    words: tuple[str, ...]
    code: int
    said: str
    given: tuple[str, ...] = ATTACHED
    streams: str = ""
    first: str = ""
    meanwhile: str = ""
    last: str = ""
    wide: int = 0


def timeless(place: str) -> str:
    """Puts a directory's time back in which the table itself has made and removed something."""
    return f"touch --date=@0 {place}"


def usage(rows: Mapping[str, tuple[tuple[str, ...], str]]) -> Iterable[tuple[str, Case]]:
    for name, (words, said) in rows.items():
        yield name, Case(words, 2, said)


# A host on which everything is as the table expects it; undone with its disks.
PREPARED = f"""
    mkdir -p {FULL} {DISK}/bound {DISK}/tree/deep {DISK}/parent {DISK}/theirs/new {DISK}/forged {DISK}/races
    mkdir -p {FIXED} {DISK}/forged-root /mnt/tmpfs /mnt/ro /mnt/noexec /mnt/nosuid /var/other
    echo something >{FULL}/file
    echo file >{DISK}/file
    ln -s /var/lib/docker {DISK}/link-to-root
    ln -s /var/lib/docker/volumes {DISK}/link-into-root
    ln -s loop {DISK}/loop
    ln -s ping {DISK}/pong; ln -s pong {DISK}/ping
    ln -s {DISK}/file {DISK}/link-to-file
    ln -s /nowhere/at/all {DISK}/dangling
    at={DISK}/tree; for number in $(seq 45); do ln -s $at {DISK}/chain-$number; at={DISK}/chain-$number; done
    mkfifo {DISK}/fifo; mknod {DISK}/null c 1 3; mknod {DISK}/block b 7 250
    cp -a /run/docker.sock {DISK}/socket
    chown 1000 {DISK}/theirs {DISK}/theirs/new
    printf '{{"version": 2, "source": "/var/lib/docker", "engine_id": "%s", "boot": "", "since": 0.0, "layers": [],
        "shards": []}}' "$(docker info --format '{{{{.ID}}}}')" >{DISK}/forged/.relocator-unfinished
    printf '{{"version": 1, "engine_id": "%s", "engine_version": "1", "driver": "overlay2", "store": "graphdriver",
        "within": "", "machine": "%s", "hardware": "", "at": 0.0}}' "$(docker info --format '{{{{.ID}}}}')" \\
        "$(cat /etc/machine-id)" >{DISK}/forged-root/.relocator-root
    chown -R 1000 {DISK}/forged {DISK}/forged-root
    touch --date=@0 {DISK}/races /var/lib
    mount -t tmpfs tmpfs /mnt/tmpfs
    for option in ro noexec nosuid; do
        mount --bind {DISK} /mnt/$option
        mount -o remount,bind,$option /mnt/$option
    done
    mount --bind /var/lib/docker {DISK}/bound
"""

TYPED: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "Where to?"),
    "relative": (("new/path",), "absolute path"),
    "dot": (("./new",), "absolute path"),
    "dots": (("../new",), "absolute path"),
    "tilde": (("~",), "absolute path"),
    "below tilde": (("~/docker",), "absolute path"),
    "somebody's tilde": (("~root/docker",), "absolute path"),
    "variable": (("$HOME/docker",), "absolute path"),
    "variable in braces": (("${DATA}/docker",), "absolute path"),
    "Windows": (("C:\\docker",), "absolute path"),
    "Windows with slashes": (("C:/docker",), "absolute path"),
    "Windows share": (("\\\\server\\docker",), "absolute path"),
    "URL": (("file:///mnt/big/new",), "absolute path"),
    "empty": (("",), "absolute path"),
    "blank": ((" ",), "absolute path"),
    "blank before": ((f" {GOOD}",), "absolute path"),
    "blank after": ((f"{GOOD} ",), "white space"),
    "blank of another kind after": ((f"{GOOD}\u00a0",), "white space"),
    "quoted twice": ((f"'{GOOD}'",), "absolute path"),
    "root": (("/",), "directory of its own"),
    "slashes": (("///",), "directory of its own"),
    "root and dot": (("/.",), "directory of its own"),
    "upwards": ((f"{DISK}/../etc",), "`..`"),
    "upwards out of all": (("/../../etc",), "`..`"),
    "upwards at the end": ((f"{GOOD}/..",), "`..`"),
    "newline": ((f"{DISK}/a\nb",), "control characters"),
    "carriage return": ((f"{DISK}/a\rb",), "control characters"),
    "tab": ((f"{DISK}/a\tb",), "control characters"),
    "escape": ((f"{DISK}/\x1b[2J\x1b[31m",), "control characters"),
    "delete": ((f"{DISK}/a\x7f",), "control characters"),
    "control of eight bits": ((f"{DISK}/a\x9b31m",), "control characters"),
    "end of a line in Unicode": ((f"{DISK}/a\u2028b",), "control characters"),
    "letters turned around": ((f"{DISK}/\u202etxt.exe",), "control characters"),
    "no UTF-8": ((f"{DISK}/a\udcffb",), "not UTF-8"),
    "4096 bytes": (("/a" * 2048,), "too long"),
    "a name of 256 bytes": ((f"{DISK}/{'n' * 256}",), "too long"),
    "a name of 128 letters and 256 bytes": ((f"{DISK}/{'ä' * 128}",), "too long"),
    "unknown option": (("--fast", GOOD), "No such option: --fast"),
    "unknown option after": ((GOOD, "--dry"), "No such option: --dry"),
    "unknown letter": (("-n", GOOD), "No such option: -n"),
    "unknown option of a verb": (("cleanup", "--force"), "No such option: --force"),
    "an option with power over terminals": (("--\x1b[2J", GOOD), "No such option: --\\x1b[2J"),
    "a target as an option": ((f"--target={GOOD}",), "No such option: --target"),
    "dashes alone": (("--",), "Missing argument: TARGET"),
    "an option after dashes": (("--", "--fast"), "absolute path"),
    "a dash": (("-",), "absolute path"),
    "no limit": ((GOOD, "--bwlimit"), "expected one argument"),
    "an empty limit": ((GOOD, "--bwlimit="), "is no limit"),
    "a limit in words": ((GOOD, "--bwlimit=fast"), "is no limit"),
    "a limit of nothing": ((GOOD, "--bwlimit=0"), "is no limit"),
    "a limit below nothing": ((GOOD, "--bwlimit=-5m"), "is no limit"),
    "a limit twice": ((GOOD, "--bwlimit=1m", "--bwlimit=2m"), "more than once"),
    "a time that is none": ((GOOD, "--at=soon"), "is no time"),
    "a time that has passed": ((GOOD, "--at=2020-01-31 03:00"), "has passed"),
    "a time in no zone": ((GOOD, "--at=03:00 Europe/Atlantis"), "knows no zone"),
    "a length that is none": ((GOOD, "--max-downtime=30"), "is no length of time"),
    "a hold of what is adopted": ((GOOD, "--hold", "--adopt"), "Either --adopt or --hold"),
    "a limit for a run at work that is none": (("limit", "fast"), "is no limit"),
    "a value for a switch": ((GOOD, "--checksum=yes"), "ignored explicit argument"),
    "two targets": ((f"{DISK}/a", f"{DISK}/b"), "unexpected extra argument"),
    "a name with a space, unquoted": (("/mnt/my", "disk"), "unexpected extra argument"),
    "missing after run": (("run",), "TARGET"),
    "missing after plan": (("plan",), "TARGET"),
    "missing after check": (("check",), "TARGET"),
    "a target for status": (("status", GOOD), "unexpected extra argument"),
    "two forms": (("status", "--json", "--html", "-"), "Either --json or --html"),
    "a page nowhere": (("status", "--html"), "expected one argument"),
    "a page at a relative place": (("status", "--html", "page.html"), "absolute path"),
    "a page in no directory": (("status", "--html", "/root/none/page.html"), "no directory /root/none"),
    "a page over another file": (("status", "--html", "/etc/fstab"), "no page of relocator's"),
    "a page over a directory": (("status", "--html", "/etc"), "no page of relocator's"),
    "a page that cannot be written": (("status", "--html", "/proc/page.html"), "cannot be written"),
    "a misspelt verb": (("stauts",), "Did you mean `status`?"),
    "a verb in capitals": (("CHECK", GOOD), "Did you mean `check`?"),
    "an option without dashes": (("version",), "Did you mean `--version`?"),
    "another name of a verb": (("move", GOOD), "Did you mean `run`?"),
    "another name of a way back": (("undo",), "Did you mean `rollback`?"),
    "a word alone": (("newdisk",), "The verbs are run, plan,"),
    "two verbs": (("plan", "check", GOOD), "unexpected extra argument"),
    "the worker by hand": (("worker", "000001"), "by systemd"),
    "a worker elsewhere": (("worker", "../../../../etc"), "by systemd"),
}

UNFIT = {
    "not empty": (FULL, "target-not-empty"),
    "a file": (f"{DISK}/file", "target-not-directory"),
    "below a file": (f"{DISK}/file/new", "target-under-file"),
    "inside": ("/var/lib/docker/new", "target-inside-source"),
    "inside by a link": (f"{DISK}/link-into-root/new", "target-inside-source"),
    "inside by a bind mount": (f"{DISK}/bound/new", "target-inside-source"),
    "around": ("/var/lib", "target-around-source"),
    "around, two up": ("/var", "target-around-source"),
    "full": (f"{SMALL}/docker", "target-space"),
    "no inodes": (f"{FEW}/docker", "target-inodes"),
    "read-only": ("/mnt/ro/new", "target-ro"),
    "noexec": ("/mnt/noexec/new", "target-noexec"),
    "nosuid": ("/mnt/nosuid/new", "target-nosuid"),
    "tmpfs": ("/mnt/tmpfs/new", "target-file-system"),
    "overlay": ("/opt/new", "target-file-system"),
    "proc": ("/proc/new", "target-file-system"),
    "sys": ("/sys/fs/new", "target-file-system"),
    "dev": ("/dev/new", "target-file-system"),
    "colon": (f"{DISK}/a:b", "target-characters"),
    "comma": (f"{DISK}/a,b", "target-characters"),
}
UNFIT_TOO = {
    "not empty, with slashes": ("//mnt//big//full///", "target-not-empty"),
    "not empty, with dots": (f"{DISK}/./full/.", "target-not-empty"),
    "the disk itself": (DISK, "target-not-empty"),
    "the host's configuration": ("/etc", "target-not-empty"),
    "a file with a slash": (f"{DISK}/file/", "target-not-directory"),
    "a link to a file": (f"{DISK}/link-to-file", "target-not-directory"),
    "a pipe": (f"{DISK}/fifo", "target-not-directory"),
    "a character device": (f"{DISK}/null", "target-not-directory"),
    "a block device": (f"{DISK}/block", "target-not-directory"),
    "a socket": (f"{DISK}/socket", "target-not-directory"),
    "below a link to a file": (f"{DISK}/link-to-file/new", "target-under-file"),
    "below a device": ("/dev/null/new", "target-under-file"),
    "a directory that takes nothing": (f"{FIXED}/new", "target-file-system"),
    "a link that leads to nothing": (f"{DISK}/dangling", "target-file-system"),
    "shared memory": ("/dev/shm/new", "target-file-system"),
    "control groups": ("/sys/fs/cgroup/new", "target-file-system"),
    "percent": (f"{DISK}/100%s", "percent-in-name"),
    "a record that somebody else has written": (f"{DISK}/forged", "target-not-empty"),
    "a root's record that somebody else has written": (f"{DISK}/forged-root", "target-not-empty"),
}
VERBS = ("run", "plan", "check")  # each refuses by itself

LINKS = {
    "a link to itself": f"{DISK}/loop",
    "two links to each other": f"{DISK}/ping/new",
    "45 links": f"{DISK}/chain-45",
}

CHANGED = "not any more what it was when it was looked at"
RACING, RACED = f"{DISK}/races", f"{DISK}/races/raced"
RACES = {
    "a link raced in": (f"mkdir {RACED}; ln -s {DISK}/tree {RACED}/docker", CHANGED),
    "a link into the root raced in": (f"ln -s ../../../var/lib/docker/volumes {RACED}", CHANGED),
    "a link to the configuration raced in": (f"ln -s /etc {RACED}", CHANGED),
    "a file raced in": (f"touch {RACED}", CHANGED),
    "a directory with something raced in": (f"mkdir -p {RACED}/docker/volumes", CHANGED),
}
OVER = f"{DISK}/parent"

ENVIRONMENTS = {
    "of Python": ("PYTHONPATH=/mnt/nowhere", "PYTHONHOME=/nowhere", "PYTHONSTARTUP=/x", "PYTHONWARNINGS=error",
                  "PYTHONOPTIMIZE=2", "PYTHONIOENCODING=utf-16", "PYTHONINSPECT=1"),
    "of a locale": ("LANG=xx_XX", "LC_ALL=nonsense", "LANGUAGE=::", "TZ=Mars/Olympus"),
    "of a terminal": ("TERM=\x1b[2J", "COLUMNS=-1", "LINES=none", "NO_COLOR=", "FORCE_COLOR=yes"),
    "of Docker": ("DOCKER_HOST=ssh://elsewhere", "DOCKER_CERT_PATH=/nowhere", "DOCKER_TLS_VERIFY=1", "HOME=/nowhere",
                  "HTTP_PROXY=http://127.0.0.1:1", "DOCKER_API_VERSION=0.1", "TMPDIR=/nowhere"),
    "of ours": ("RELOCATOR_IMAGE=; rm -rf /", "RELOCATOR_PARENT=../../etc", "NOTIFY_SOCKET=/nowhere"),
}  # fmt: skip

STREAMS = {
    "no standard output": (">&-", "[target-not-empty]"),
    "no stream at all": ("<&- >&- 2>&-", ""),
    "no standard input": ("<&-", "[target-not-empty]"),
    "standard output on a full disk": (">/dev/full", "[target-not-empty]"),
    "both on a full disk": (">/dev/full 2>/dev/full", ""),
    "a reader that has gone": ("| true", "[target-not-empty]"),
}

TERMINALS = {
    "a terminal of 20 columns": Case((FULL,), 3, "[target-not-empty]", ("-it", *ATTACHED), wide=20),
    "a terminal of one column": Case((FULL,), 3, "[target-not-empty]", ("-it", *ATTACHED), wide=1),
    "a terminal without a name": Case((FULL,), 3, "[target-not-empty]", ("-it", "-e", "TERM=", *ATTACHED), wide=80),
    "a dumb terminal": Case((FULL,), 3, "[target-not-empty]", ("-it", "-e", "TERM=dumb", *ATTACHED), wide=80),
}

PINNED = "-v", "/:/host:rslave"
GIVEN = {
    "nothing": Case((GOOD,), 2, "--privileged --pid=host", ("--rm",)),
    "nothing, wrong words": Case(("new/path",), 2, "absolute path", ("--rm",)),
    "nothing, no verb": Case(("revert",), 2, "Did you mean `rollback`?", ("--rm",)),
    "nothing, a question": Case(("-h",), 0, "Usage: relocator", ("--rm",)),
    "privileges alone": Case((GOOD,), 2, "no view of the host's processes", ("--rm", "--privileged")),
    "the processes alone": Case((GOOD,), 2, "lacks SYS_ADMIN, SYS_PTRACE", ("--rm", "--pid=host")),
    "everything, but not root": Case((GOOD,), 2, "does not run as root", (*ATTACHED, "--user=1000")),
    "some capabilities": Case((GOOD,), 2, "lacks SYS_PTRACE", ("--rm", "--pid=host", "--cap-add=SYS_ADMIN")),
    "the host's files alone": Case((GOOD,), 2, "no view of the host's processes", ("--rm", *PINNED)),
    "the socket alone, an unfit target": Case((FULL,), 3, "[target-not-empty]", SOCKET),
    "the socket alone, wrong words": Case(("new/path",), 2, "absolute path", SOCKET),
    "a root of its own that cannot be written": Case((FULL,), 3, "[target-not-empty]", (*ATTACHED, "--read-only")),
}

LIB, JOURNAL = "/var/lib", "/var/lib/relocator"
FILLED = f"mkdir {JOURNAL}; mount -t tmpfs -o size=64k tmpfs {JOURNAL}; cat /dev/zero >{JOURNAL}/zeros || true"
DISKS = {
    "a full log disk": Case(
        (GOOD,), 3, "The disk of /var/lib/relocator is full", first=FILLED,
        last=f"umount {JOURNAL}; rmdir {JOURNAL}; {timeless(LIB)}",
    ),
    "a log disk that cannot be written": Case(
        (GOOD,), 3, "journal in /var/lib/relocator cannot be written",
        first=f"mkdir {JOURNAL}; mount -t tmpfs -o ro tmpfs {JOURNAL}",
        last=f"umount {JOURNAL}; rmdir {JOURNAL}; {timeless(LIB)}",
    ),
    "a log that is a file": Case(
        (GOOD,), 3, "journal in /var/lib/relocator cannot be written", first=f"touch {JOURNAL}",
        last=f"rm {JOURNAL}; {timeless(LIB)}",
    ),
    "another disk mounted over it meanwhile": Case(
        (f"{OVER}/docker",), 3, CHANGED, meanwhile=f"mount -t tmpfs tmpfs {OVER}", last=f"umount {OVER}",
    ),
}  # fmt: skip


def cases() -> dict[str, Case]:
    """All of it, each under a name of its own."""
    found = dict(usage(TYPED))
    for name, (target, id) in UNFIT.items():
        found |= {f"{name}: {verb}": Case((verb, target), 3, f"[{id}]") for verb in VERBS}
    for verb, (name, (target, id)) in zip(cycle(VERBS), UNFIT_TOO.items(), strict=False):
        found[name] = Case((verb, target), 3, f"[{id}]")
    found |= {name: Case((target,), 3, "Too many symbolic links") for name, target in LINKS.items()}
    for name, (race, said) in RACES.items():
        last = f"rm -r {RACED}; {timeless(RACING)}"
        found[name] = Case((f"{RACED}/docker",), 3, said, meanwhile=race, last=last)
    for name, variables in ENVIRONMENTS.items():
        options = tuple(word for variable in variables for word in ("-e", variable))
        found[f"environment {name}"] = Case((FULL,), 3, "[target-not-empty]", (*options, *ATTACHED))
    for name, (streams, said) in STREAMS.items():
        found[name] = Case((FULL,), 3, said, streams=streams)
    found |= TERMINALS | {f"given {name}": case for name, case in GIVEN.items()} | DISKS
    theirs = Case(("check", f"{DISK}/theirs/new"), 0, "target-exposed")
    return found | {"a directory that somebody else can change": theirs}


def rare() -> set[str]:
    """What only `make input-matrix` asks: of words that get the same answer all but the first, of an unfit target all
    verbs but one."""
    firsts = {said: name for name, (_, said) in reversed(TYPED.items())}
    verbs = {f"{name}: {verb}" for verb, name in zip(cycle(VERBS), UNFIT, strict=False)}
    return TYPED.keys() - set(firsts.values()) | {f"{name}: {verb}" for name in UNFIT for verb in VERBS} - verbs


CASES, RARE = cases(), rare()
