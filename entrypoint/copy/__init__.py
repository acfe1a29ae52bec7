"""Makes one directory tree equal to another while the first is in use, and proves it. Knows no plan and no systemd.

Face: `copier`, `copied` (how far it has come), `content`, `size_limits`, `cp` (`Programs`, `failed`), and what the
folders name: `looking` (what is there, and what has changed), `pace` (how fast, and the clock).
"""
