"""How the program speaks: errors with a remedy, findings, events, sentences, progress, and what must not be said.

Face: `errors`, `findings`, `events` (`log`, `phase`), `progress`, `wording`, `command`, `names`,
`discretion`, `environment`. Imports nothing of ours.

Bars and wrapped rows are ours: with rich they would be as many lines, in an image that is 12 MB larger, and a program
that is killed would leave the terminal without its cursor.
"""
