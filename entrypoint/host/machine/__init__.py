"""What the host is and who is at work on it: names, packages, programs, processes, listeners, and this container.

Face: `locality`, `packages`, `programs`, `processes`, `listeners`, `openers` and `mentions` (who has a path, and which
files name it), `standing`, `persistence`.
"""
