"""The command line: which verbs and options there are, and what is understood of what was typed.

Face: `cli` (what was typed), `options` (the tables that help, completion and manual page are written from),
`parser` (what a row of them is).
"""
