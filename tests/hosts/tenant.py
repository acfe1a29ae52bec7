"""Containers without any privilege that exchange what they have for links, pipes and devices, as fast as they can.

Each does it in a volume and in its own layer at once. The program is in Perl, which every Debian has: the kernel's
renameat2(2) is no command of busybox. It makes what it needs when it is started, and goes on where it was ended.
"""

import time
from contextlib import suppress

from tests.hosts.host import Host

IMAGE = "tenant:latest"
# What one exchanges: a directory with more than ten thousand names (shards.py cuts it), or one of each kind.
KINDS = ("large", "mixed")
# What it takes with it through a link, wherever that leads: `f0` in `s0`, and some that a host has.
HOLDS = ("s0", "cron.d", "docker", "ssh", "runs")
TOKEN = "what only the host may know"
BUILD = "/root/tenant"
UNPRIVILEGED = ("--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none")
ATTACK = """
use strict; use warnings; use POSIX ();
my ($what) = @ARGV;
my $call = {x86_64 => 316, aarch64 => 276}->{(POSIX::uname())[4]};  # renameat2
sub put { open my $file, ">", $_[0] or die "$_[0]: $!"; print $file $_[1]; close $file }
sub swap { syscall $call, -100, my $one = $_[0], -100, my $other = $_[1], 2 }
sub folder { my ($name, $files) = @_; mkdir $name; put("$name/f$_", "mine\\n") for 0 .. $files - 1 }
sub cut { my ($name) = @_; mkdir $name; folder("$name/$_", 10) for qw(HOLDS); folder("$name/s$_", 100) for 0 .. 100 }
sub make {
    my ($large) = @_;
    my %links = ("big" => "etc", "beside" => "mnt/big/beside", "home" => "root", "record" => "var/lib/relocator",
        "victim" => "var/lib/docker/volumes/victim/_data");
    for my $name (keys %links) {
        symlink "../" x 12 . $links{$name}, "$name.aside";
        $name eq "big" && $large ? cut($name) : do { mkdir $name; folder("$name/$_", 10) for qw(HOLDS) };
    }
    for (["passwd", "etc/passwd"], ["secret", "etc/s0/f0"], ["shadow", "etc/shadow"]) {
        put($_->[0], "mine\\n" x 1000);
        symlink "../" x 12 . $_->[1], "$_->[0].aside";
    }
    link "secret", "home/secret-again";
    POSIX::mkfifo("pipe.aside", 0666);
    put("pipe", "mine\\n" x 1000);
    folder("kind", 10);
    put("kind.aside", "mine\\n");
    for my $side (qw(left right)) { my $deep = $side; mkdir $deep; mkdir $deep .= "/$_" for qw(a b c d) }
    put("made", "");
}
sub attack {
    my ($top) = @_;
    chdir $top or die "$top: $!";
    make($what eq "large") unless -e "made";
    my @pairs = map { [$_, "$_.aside"] } grep { -e || -l } $what eq "large" ? qw(big)
        : qw(big beside home record victim passwd secret shadow pipe kind zero disk);
    push @pairs, ["left/a", "right/a/b"], ["left/a/b/c", "right/a"], ["big/s0", "home/s0"] if $what ne "large";
    while (1) {
        my $pair = $pairs[rand @pairs];
        swap(@$pair) for 0 .. (0, 0, 1, 2, 40)[rand 5];
        select undef, undef, undef, (0, 0, 0.0002, 0.002, 0.01)[rand 5];
    }
}
$SIG{TERM} = sub { kill "KILL", -1; exit 0 };
mkdir "/own";
fork or attack("/data");
fork or attack("/own");
sleep 1 while 1;
""".replace("HOLDS", " ".join(HOLDS))
ROOT_FILE_SYSTEM = f"""
mkdir -p {BUILD}/data; cd {BUILD}
mkdir -p proc sys dev tmp etc
cp -L --parents /usr/bin/perl $(ldd /usr/bin/perl | grep -o '/[^ ]*') .
cp -a --parents /usr/lib/*/perl-base .
"""


def install(host: Host) -> None:
    """The image, made of the host's own Perl."""
    host.run(ROOT_FILE_SYSTEM)
    host.write(f"{BUILD}/attack.pl", ATTACK)
    host.run(f"tar -C {BUILD} -c . | docker import - {IMAGE}")
    host.run(["rm", "-rf", BUILD])


def start(host: Host) -> None:
    """One of each kind; they are started again with the engine, wherever that is by then."""
    for kind in KINDS:
        host.docker("volume", "create", kind)
        _make_devices(host, host.docker("volume", "inspect", "--format", "{{.Mountpoint}}", kind))
        options = ("--name", kind, "--restart=always", "--volume", f"{kind}:/data")
        host.docker("run", "--detach", *options, *UNPRIVILEGED, IMAGE, "/usr/bin/perl", "/attack.pl", kind)


def assert_at_work(host: Host) -> None:
    """Nobody takes for harmless what does not run."""
    for kind in KINDS:
        top = host.docker("volume", "inspect", "--format", "{{.Mountpoint}}", kind)
        seen: set[bool] = set()
        deadline = time.monotonic() + 30
        while len(seen) < 2:
            assert time.monotonic() < deadline, host.docker("logs", kind)
            with suppress(OSError):
                seen.add(host.path(f"{top}/big").is_symlink())


def _make_devices(host: Host, top: str) -> None:
    """As a container may by Docker's own choice of privileges, and this one may not."""
    host.run(
        f"cd {top}; mknod zero.aside c 1 5; mknod disk.aside b 7 99; for name in zero disk; do echo mine >$name; done"
    )
