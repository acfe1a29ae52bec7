"""How the program speaks: errors with a remedy, findings, events, sentences, progress, and what must not be said.

Face: `errors`, `findings`, `events` (`log`, `phase`), `progress`, `command`, `names`, `discretion`. Imports nothing of
ours.
"""
