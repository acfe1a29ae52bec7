"""The service manager of the host, and what is written for it: a hold, the order of a boot, what wakes a service.

Face: `manager` (`ServiceManager`, the port), `systemd` (`Systemd`), `units`, `access` (what SELinux allows), `hold`,
`ordering`, `waking`, `dependents`. The one door to D-Bus is here.
"""
