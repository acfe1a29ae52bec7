"""The machine: its files and programs, its disks, its service manager, and signals.

Face: `host` (`Host`), `children` (programs of ours, `run`), `signals`, `selinux`, and what the folders name. Knows no
engine and no move.
"""
