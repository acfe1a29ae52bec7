"""Several hosts of which one at a time is on, reached by a stand-in for ssh."""

import json
import socketserver
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from tests.hosts import Disk, Host, boot

DATA = "/mnt/data"
# As ssh: options, a host, and words that the other side's shell gets in one line. What Ansible passes is passed over.
SSH = """#!/usr/bin/python3
import json, socket, sys
words = sys.argv[1:]
while words and words[0].startswith("-"):
    words = words[2:] if words[0] in ("-o", "-p", "-l", "-i", "-E", "-F") else words[1:]
with socket.socket(socket.AF_UNIX) as channel:
    channel.connect({address!r})
    channel.sendall(json.dumps([words[0], " ".join(words[1:])]).encode() + b"\\n")
    output, errors, code = json.loads(channel.makefile().read())
sys.stdout.write(output)
sys.stderr.write(errors)
sys.exit(code)
"""


@dataclass
class Fleet:
    hosts: Mapping[str, Host]
    asked: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, name: str) -> Host:
        """A host that is on, as the only one."""
        host = self.hosts[name]
        if not host.is_on:
            for other in self.hosts.values():
                if other.is_on:
                    other.power_off()
            host.boot()
            host.wait_docker()
        return host

    def answer(self, name: str, command: str) -> tuple[str, str, int]:
        with self._lock:
            self.asked.append(name)
            done = self.on(name).run(["sh", "-c", command], check=False)
            return done.stdout, done.stderr, done.returncode

    def root_of(self, name: str) -> str:
        return self.answer(name, "docker info --format '{{.DockerRootDir}}'")[0].strip()


class Desk(socketserver.StreamRequestHandler):
    """Takes what the stand-in sends."""

    fleet: ClassVar[Fleet]

    def handle(self) -> None:
        name, command = json.loads(self.rfile.readline())
        self.wfile.write(json.dumps(self.fleet.answer(name, command)).encode())


@contextmanager
def fleet(place: Path, *names: str) -> Iterator[Fleet]:
    """Hosts with a disk each; `place/ssh` reaches them."""
    with ExitStack() as stack:
        hosts = {}
        for name in names:
            disk = stack.enter_context(Disk("4G", "ext4"))
            hosts[name] = stack.enter_context(boot(name=name, disks={DATA: disk}, start=False))
        one = Fleet(hosts)
        program, address = place / "ssh", str(place / "socket")
        program.write_text(SSH.format(address=address))
        program.chmod(stat.S_IRWXU)
        handler = type("Handler", (Desk,), {"fleet": one})
        server = stack.enter_context(socketserver.ThreadingUnixStreamServer(address, handler))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        yield one
