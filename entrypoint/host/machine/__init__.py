"""What the host is and who is at work on it: names, packages, programs, processes, listeners, and this container.

Face: `locality`, `packages`, `programs`, `processes`, `openers`, `mentions`, `listeners`, `standing`, `persistence`,
`by_hand` (hosts without systemd).
"""
