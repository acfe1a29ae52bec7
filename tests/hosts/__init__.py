"""Disposable Docker hosts: real systemd, real engine, a second to boot. Needs root and Debian's packages.txt."""

from tests.hosts.command import CommandError, HostError
from tests.hosts.disk import Disk
from tests.hosts.host import Host
from tests.hosts.launch import bare
from tests.hosts.prepared import boot

__all__ = ["CommandError", "Disk", "Host", "HostError", "bare", "boot"]
