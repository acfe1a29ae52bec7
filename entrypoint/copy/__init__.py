"""Makes one directory tree equal to another while the first is in use, and proves it. Knows no plan and no systemd.

Face: `copier`, `copied` (how far it has come), `content`, `size_limits`.
"""
