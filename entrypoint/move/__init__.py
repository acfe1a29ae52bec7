"""The part of a move that may stop the engine, and the way back. Everything has an undo, and a record ahead of it.

Face: `context` (`Context`, `Move`), `steps`, `recovery` (a run that was cut off), `safety_net`, and what the folders
name: `roots` (taken, given back, left), `worker` (outlives this container), `switch` (what the next boot finds),
`since` (what has happened there), `proof` (what the engine has once it is up).
"""
