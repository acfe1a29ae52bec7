"""An engine plugin made on the host itself: a volume driver in Perl, which every Debian has."""

import json

from tests.hosts.host import Host

NAME = "example/shelf:latest"
BUILD = "/root/shelf"
DATA, SOCKET = "/data", "/run/docker/plugins/shelf.sock"
# docs.docker.com/engine/extend/plugins_volume: each call is a POST with a JSON object, and so is each answer.
DRIVER = f"""
use strict; use warnings; use IO::Socket::UNIX; use Socket;
unlink "{SOCKET}";
my $server = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => "{SOCKET}", Listen => 8) or die "$!";
$SIG{{TERM}} = sub {{ exit 0 }};
my %answers = (
    "Plugin.Activate" => sub {{ '"Implements": ["VolumeDriver"]' }},
    "VolumeDriver.Capabilities" => sub {{ '"Capabilities": {{"Scope": "local"}}' }},
    "VolumeDriver.Create" => sub {{ mkdir "{DATA}/$_[0]"; '"Err": ""' }},
    "VolumeDriver.Remove" => sub {{ rmdir "{DATA}/$_[0]"; '"Err": ""' }},
    "VolumeDriver.Path" => sub {{ place($_[0]) }},
    "VolumeDriver.Mount" => sub {{ place($_[0]) }},
    "VolumeDriver.Unmount" => sub {{ '"Err": ""' }},
    "VolumeDriver.Get" => sub {{ -d "{DATA}/$_[0]" ? '"Volume": ' . volume($_[0]) : '"Err": "no such volume"' }},
    "VolumeDriver.List" => sub {{ '"Volumes": [' . join(", ", map {{ volume(s{{.*/}}{{}}r) }} glob "{DATA}/*") . "]" }},
);
sub place {{ qq("Mountpoint": "{DATA}/$_[0]") }}
sub volume {{ qq({{"Name": "$_[0]", ) . place($_[0]) . "}}" }}
while (my $client = $server->accept) {{
    my ($call, $length, $body) = ("", 0, "");
    while (my $line = <$client>) {{
        $call = $1 if $line =~ m{{^POST /(\\S+)}};
        $length = $1 if $line =~ /^content-length:\\s*(\\d+)/i;
        last if $line =~ /^\\r?\\n$/;
    }}
    read($client, $body, $length) if $length;
    my ($name) = $body =~ /"Name":\\s*"([^"]*)"/;
    my $text = "{{" . ($answers{{$call}} || sub {{ '"Err": "unknown call"' }})->($name) . "}}";
    print $client "HTTP/1.0 200 OK\\r\\nContent-Length: " . length($text) . "\\r\\n\\r\\n$text";
    close $client;
}}
"""
# What it keeps is below the data root, in the plugin's own directory, and the engine sees it there.
CONFIG = {
    "description": "keeps volumes on a shelf",
    "documentation": "",
    "entrypoint": ["/usr/bin/perl", "/driver.pl"],
    "workdir": "",
    "interface": {"types": ["docker.volumedriver/1.0"], "socket": "shelf.sock"},
    # With any network the engine would give it a resolv.conf, which a host without one does not have.
    "network": {"type": ""},
    "mounts": [],
    "env": [],
    "args": {"name": "", "description": "", "value": [], "settable": None},
    "linux": {"capabilities": [], "allowAllDevices": False, "devices": []},
    "propagatedMount": DATA,
    "user": {},
}
# The program, what it is linked to, and the modules of perl-base.
ROOT_FILE_SYSTEM = f"""
mkdir -p {BUILD}/rootfs; cd {BUILD}/rootfs
mkdir -p run/docker/plugins data proc sys dev tmp etc
cp -L --parents /usr/bin/perl $(ldd /usr/bin/perl | grep -o '/[^ ]*') .
cp -a --parents /usr/lib/*/perl-base .
"""


def install(host: Host) -> None:
    """Create the plugin from files and enable it."""
    host.run(ROOT_FILE_SYSTEM)
    host.write(f"{BUILD}/rootfs/driver.pl", DRIVER)
    host.write(f"{BUILD}/config.json", json.dumps(CONFIG))
    host.docker("plugin", "create", NAME, BUILD)
    host.docker("plugin", "enable", NAME)
    host.run(["rm", "-rf", BUILD])
