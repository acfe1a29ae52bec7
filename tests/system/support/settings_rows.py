"""The ways to set a data root, as scripts for a bench: what the table of docs/settings.md is made of."""

from dataclasses import dataclass

from tests.system.support.moving import DISK
from tests.system.support.settings_bench import HELD, SERVICE, quoted

ALL = ("trixie", "forky", "bookworm", "bullseye")
OLD = ("bullseye", "bookworm")  # Docker 20.10
CONFIG = "/etc/docker/daemon.json"
DROP_IN = f"/etc/systemd/system/{SERVICE}.d"
OVERRIDE = f"{DROP_IN}/zz-relocator.conf"
START = "/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock"
SOURCE = f"{DISK}/source"
REAL = f"rm -rf {DISK}/real; mv {HELD} {DISK}/real"
STORAGE = f"{DROP_IN}/docker-storage.conf"


def write(path: str, text: str) -> str:
    """Shell that writes a file, byte for byte."""
    return f"mkdir -p $(dirname {path}); printf %s {quoted(text)} >{path}"


def storage(flag: str) -> str:
    return write(STORAGE, f"[Service]\nExecStart=\nExecStart={START} {flag}\n")


def layout(variables: str) -> str:
    """The unit as a distribution with /etc/sysconfig has it, in a file of the vendor."""
    return write(
        f"/usr/lib/systemd/system/{SERVICE}.d/10-layout.conf",
        "[Service]\nEnvironmentFile=-/etc/sysconfig/docker\nEnvironmentFile=-/etc/sysconfig/docker-storage\n"
        f"ExecStart=\nExecStart={START} {variables}\n",
    )


@dataclass(frozen=True)
class Row:
    """A way to set the root: a shell script, run with the engine down.

    `edited` is the file that is changed; it is a drop-in of ours if it is `made`. `units` are what runs the engine,
    `undo` takes back what is no file of the configuration. `real` is where the script itself has put the data. `says`
    is what the output must hold.
    """

    number: int
    name: str
    script: str
    edited: str
    suites: tuple[str, ...] = ALL
    source: str = SOURCE
    made: bool = False
    says: tuple[str, ...] = ()
    sample: bool = False
    units: tuple[str, ...] = ("docker.socket", SERVICE)
    undo: str = ":"
    real: str = ""

    @property
    def suite(self) -> str:
        """The suite that stands for the others."""
        return self.suites[0]


MOVED = [
    Row(1, "nowhere", "rm -rf /etc/docker", CONFIG, source="/var/lib/docker", sample=True),
    Row(2, "data-root among others, tabs", write(CONFIG, '{\n\t"debug" : true,\n\t"data-root":"/mnt/big/source" ,\n\n'
        '\t"labels": ["a=b", "data-root=x"]\n}'), CONFIG, sample=True),
    Row(2, "with a byte order mark", write(CONFIG, '\ufeff{"data-root": "/mnt/big/source"}\r\n'), CONFIG,
        ("trixie", "forky")),
    Row(2, "an empty file", write(CONFIG, ""), CONFIG, ("trixie", "forky"), "/var/lib/docker"),
    Row(3, "graph in daemon.json", write(CONFIG, '{"debug": true, "graph": "/mnt/big/source"}\n'), CONFIG, OLD,
        sample=True),
    Row(4, '--data-root="/mnt" in a drop-in', storage(f'--data-root="{SOURCE}"'), STORAGE, sample=True),
    Row(4, "--data-root /mnt", storage(f"--data-root {SOURCE}"), STORAGE),
    Row(4, "--data-root=/mnt", storage(f"--data-root={SOURCE} --debug"), STORAGE),
    Row(4, '--graph="/mnt"', storage(f'--graph="{SOURCE}"'), STORAGE, OLD),
    Row(4, "-g /mnt", storage(f"-g {SOURCE}"), STORAGE, OLD),
    Row(4, "-g=/mnt", storage(f"-g={SOURCE}"), STORAGE, OLD),
    Row(5, "the unit copied to /etc", f"cp /lib/systemd/system/{SERVICE} /etc/systemd/system/; sed -i "
        f"'s|^ExecStart=.*|& --data-root {SOURCE}|' /etc/systemd/system/{SERVICE}", f"/etc/systemd/system/{SERVICE}",
        sample=True),
    Row(5, "the vendor's unit edited",
        f"sed -i 's|^ExecStart=.*|& --data-root {SOURCE}|' /lib/systemd/system/{SERVICE}",
        OVERRIDE, made=True, sample=True),
    Row(6, "DOCKER_OPTS in /etc/default/docker", write("/etc/default/docker", "# Docker\n"
        f'DOCKER_OPTS="--dns 8.8.8.8 --data-root {SOURCE}"\n#export http_proxy="http://127.0.0.1:3128/"\n'),
        "/etc/default/docker", sample=True),
    Row(6, "DOCKER_OPTS with -g", write("/etc/default/docker", f'DOCKER_OPTS="--dns 8.8.8.8 -g {SOURCE}"\n'),
        "/etc/default/docker", OLD),
    Row(7, "OPTIONS over lines", layout("$OPTIONS") + "\n" + write("/etc/sysconfig/docker",
        f'OPTIONS="--log-driver=journald \\\n  --data-root {SOURCE} \\\n  --debug"\nOTHER=1\n'),
        "/etc/sysconfig/docker", ("trixie", "bookworm"), sample=True),
    Row(7, "OPTIONS in single quotes", layout("$OPTIONS") + "\n" + write("/etc/sysconfig/docker",
        f"OPTIONS='--data-root={SOURCE} --debug'\n"), "/etc/sysconfig/docker", ("trixie", "bookworm")),
    Row(7, "other_args", layout("$other_args") + "\n" + write("/etc/sysconfig/docker",
        f'other_args="-g {SOURCE}"\n'), "/etc/sysconfig/docker", ("bookworm",)),
    Row(7, "DOCKER_OPTS without quotes", layout("$DOCKER_OPTS") + "\n" + write("/etc/sysconfig/docker",
        f"DOCKER_OPTS=--debug --data-root {SOURCE}\n"), "/etc/sysconfig/docker", ("trixie", "bookworm")),
    Row(7, "DOCKER_STORAGE_OPTIONS", layout("$OPTIONS $DOCKER_STORAGE_OPTIONS") + "\n" + write(
        "/etc/sysconfig/docker", "OPTIONS='--debug'\n") + "\n" + write("/etc/sysconfig/docker-storage",
        f'DOCKER_STORAGE_OPTIONS="--storage-driver overlay2 --data-root={SOURCE}"\n'), "/etc/sysconfig/docker-storage",
        ("trixie", "bookworm")),
    Row(7, "Environment= of the vendor", write(f"/usr/lib/systemd/system/{SERVICE}.d/10-layout.conf",
        f'[Service]\nEnvironment="DOCKER_OPTS=--debug --data-root {SOURCE}" X=1\n'), OVERRIDE, ("trixie", "bookworm"),
        made=True),
    Row(8, "-g and data-root together", storage("-g /mnt/elsewhere") + "\n" + write(CONFIG,
        '{"data-root": "/mnt/big/source"}\n'), CONFIG, ("bullseye",),
        says=("root-set-elsewhere", "-g /mnt/elsewhere", '\\"data-root\\": \\"/mnt/big/source\\"'), sample=True),
    Row(12, "--config-file elsewhere", storage("--config-file=/srv/daemon.json") + "\n" + write("/srv/daemon.json",
        '{"data-root": "/mnt/big/source", "debug": true}\n'), "/srv/daemon.json", ("trixie",)),
    Row(10, "a link to another disk", f"{REAL}; rm -rf /var/lib/docker; ln -s {DISK}/real /var/lib/docker", CONFIG,
        source=f"{DISK}/real", says=("root-is-link", "/var/lib/docker leads to"), undo="rm /var/lib/docker",
        real=f"{DISK}/real"),
    Row(11, "a bind mount, by fstab", f"{REAL}; mkdir -p /var/lib/docker; cp /etc/fstab /root/fstab; "
        f"echo '{DISK}/real /var/lib/docker none bind 0 0' >>/etc/fstab; mount /var/lib/docker", CONFIG, ("trixie",),
        "/var/lib/docker", undo="umount /var/lib/docker; cp /root/fstab /etc/fstab", real=f"{DISK}/real"),
    Row(11, "a bind mount, by a mount unit", f"{REAL}; mkdir -p /var/lib/docker\n" + write(
        "/etc/systemd/system/var-lib-docker.mount",
        f"[Mount]\nWhat={DISK}/real\nWhere=/var/lib/docker\nType=none\nOptions=bind\n")
        + "\nsystemctl daemon-reload; systemctl start var-lib-docker.mount", CONFIG, ("trixie",), "/var/lib/docker",
        undo="systemctl stop var-lib-docker.mount", real=f"{DISK}/real"),
    Row(17, "daemon.json a link", write("/srv/real.json", '{"debug": true, "data-root": "/mnt/big/source"}\n')
        + f"\nmkdir -p /etc/docker; ln -sf /srv/real.json {CONFIG}", "/srv/real.json", ("trixie",)),
    Row(19, "docker-ce.service and its socket", f"""
        sed 's/docker.socket/docker-ce.socket/' /lib/systemd/system/{SERVICE} >/etc/systemd/system/docker-ce.service
        sed -i 's|^ExecStart=.*|& --data-root={SOURCE}|' /etc/systemd/system/docker-ce.service
        cp /lib/systemd/system/docker.socket /etc/systemd/system/docker-ce.socket""",
        "/etc/systemd/system/docker-ce.service", ("trixie",), units=("docker-ce.socket", "docker-ce.service")),
    Row(19, "an alias, with a drop-in of its name", f"ln -s /lib/systemd/system/{SERVICE} "
        "/etc/systemd/system/moby-engine.service\n" + write("/etc/systemd/system/moby-engine.service.d/root.conf",
        f"[Service]\nExecStart=\nExecStart={START} --data-root={SOURCE}\n"),
        "/etc/systemd/system/moby-engine.service.d/root.conf", ("trixie",)),
    Row(19, "no docker.socket, TCP too", f"rm /lib/systemd/system/docker.socket; sed -e '/^Requires=/d' "
        f"-e 's|-H fd://|-H unix:///run/docker.sock -H tcp://127.0.0.1:2375 --tls=false --data-root {SOURCE}|' "
        f"/lib/systemd/system/{SERVICE} >/etc/systemd/system/{SERVICE}", f"/etc/systemd/system/{SERVICE}",
        ("trixie",), units=(SERVICE,), sample=True),
    Row(19, "a socket unit that is not used", f"systemctl disable docker.socket; sed -e '/^Requires=/d' "
        f"-e 's|-H fd://|-H unix:///run/docker.sock --data-root {SOURCE}|' "
        f"/lib/systemd/system/{SERVICE} >/etc/systemd/system/{SERVICE}", f"/etc/systemd/system/{SERVICE}",
        ("trixie",), units=(SERVICE,)),
]  # fmt: skip


@dataclass(frozen=True)
class Refused:
    """A way to set the root that is refused; `later` is done when the engine runs."""

    number: int
    name: str
    script: str
    later: str
    finding: str
    says: tuple[str, ...]
    suites: tuple[str, ...] = ("trixie",)
    undo: str = ":"
    sample: bool = True

    @property
    def suite(self) -> str:
        return self.suites[0]


JSON = '{"data-root": "/mnt/big/source"}\n'
REFUSED = [
    Refused(6, "edited and not restarted", write("/etc/default/docker", f"DOCKER_OPTS='-D --data-root {SOURCE}'\n"),
        write("/etc/default/docker", "DOCKER_OPTS='-D --data-root /mnt/big/other'\n"), "configured-root-differs",
        ("/etc/default/docker", "/mnt/big/other", f"It runs on {SOURCE}"), sample=False),
    Refused(7, "a program between unit and engine", write("/srv/start", "#!/bin/sh\nexec /usr/sbin/dockerd -H fd:// "
        f"--containerd=/run/containerd/containerd.sock --data-root {SOURCE}\n") + "\nchmod 755 /srv/start\n" + write(
        STORAGE, "[Service]\nExecStart=\nExecStart=/srv/start\n"), ":", "root-by-unknown-place",
        ("/srv/start", f"--data-root {SOURCE}"), sample=False),
    Refused(9, "flag and key", storage(f"--data-root={SOURCE}"), write(CONFIG, JSON), "root-set-twice",
        (f'{CONFIG} ("data-root": "{SOURCE}")', f"{STORAGE} (--data-root={SOURCE})",
         "take the setting out of the other", "systemctl daemon-reload; systemctl restart docker.service")),
    Refused(11, "volumes/ on its own file system", write(CONFIG, JSON),
        f"mount --bind {SOURCE}/volumes {SOURCE}/volumes", "sub-mount", (f"{SOURCE}/volumes is mounted",),
        undo=f"umount {SOURCE}/volumes"),
    Refused(11, "overlay2/ on its own file system", write(CONFIG, JSON) + f"\nmount --bind {SOURCE}/overlay2 "
        f"{SOURCE}/overlay2", ":", "sub-mount", (f"{SOURCE}/overlay2 is mounted",), undo=f"umount {SOURCE}/overlay2",
        sample=False),
    Refused(14, "ExecStartPre= that copies daemon.json", write("/srv/daemon.json", JSON) + "\nmkdir -p /etc/docker\n"
        + write(f"{DROP_IN}/pre.conf", f"[Service]\nExecStartPre=/bin/cp /srv/daemon.json {CONFIG}\n"), ":",
        "config-overwritten", (f"/bin/cp *** {CONFIG}", "in what that command writes or copies from")),
    Refused(14, "ExecStartPre= that writes it by a script", write("/srv/pre", "#!/bin/sh\nmkdir -p /etc/docker\n"
        f"echo '{JSON.strip()}' >{CONFIG}\n") + "\nchmod 755 /srv/pre\n" + write(f"{DROP_IN}/pre.conf",
        "[Service]\nExecStartPre=/srv/pre\n"), ":", "config-overwritten", ("/srv/pre",)),
    Refused(15, "daemon.json on a read-only file system", write(CONFIG, JSON)
        + "\nmount --bind /etc/docker /etc/docker; mount -o remount,bind,ro /etc/docker", ":", "config-read-only",
        (CONFIG,
        'virtualisation.docker.daemon.settings.data-root = "/mnt/big/new";'), undo="umount /etc/docker"),
    Refused(15, "daemon.json in /nix/store", write("/nix/store/x-daemon.json", JSON) + "\n"
        + storage("--config-file=/nix/store/x-daemon.json"), ":", "config-generated",
        ('virtualisation.docker.daemon.settings.data-root = "/mnt/big/new";', "nixos-rebuild switch")),
    Refused(17, "invalid JSON", write(CONFIG, JSON), write(CONFIG, JSON + ","), "config-invalid",
        (f"{CONFIG} is not valid JSON", "line 2, column 1")),
    Refused(17, "a directory", write("/etc/default/docker", f"DOCKER_OPTS='--data-root {SOURCE}'\n"),
        f"rm -f {CONFIG}; mkdir -p {CONFIG}", "config-not-file", (CONFIG, "Put a file in its place")),
    Refused(17, "no text", write(CONFIG, JSON), f"printf '\\377\\376' >{CONFIG}", "config-invalid",
        (f"{CONFIG} is not UTF-8 text",)),
]  # fmt: skip


ODD = (f"{DISK}/my disk $HOME größe", f'{DISK}/it\'s "so" ${{x}} $$')
PERCENT = (f"{DISK}/100%h", f"{DISK}/it's 50% %% $$")  # Docker 28
PLACES = {
    "daemon.json": (write(CONFIG, JSON), False),
    "a drop-in": (storage(f"--data-root {SOURCE}"), True),
    "an EnvironmentFile": (write("/etc/default/docker", f'DOCKER_OPTS="-D --data-root={SOURCE}"\n'), False),
    "an EnvironmentFile, single quotes": (
        write("/etc/default/docker", f"DOCKER_OPTS='-D --data-root={SOURCE}'\n"), False),
    "an EnvironmentFile, no quotes": (write("/etc/default/docker", f"DOCKER_OPTS=-D --data-root={SOURCE}\n"), False),
    "the vendor's unit": (
        f"sed -i 's|^ExecStart=.*|& --data-root={SOURCE}|' /lib/systemd/system/{SERVICE}", False),
    "Environment= in a drop-in": (
        write(STORAGE, f'[Service]\nEnvironment="DOCKER_OPTS=--data-root={SOURCE}"\n'), False),
}  # fmt: skip
