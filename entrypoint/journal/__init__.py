"""The record on the host, written ahead of each act; what a root says of itself; the named instants of the tests.

Face: `journal` (`Journal`), `record` (`Run`, `Event`, `Outcome`), `finished` and `unfinished` (marks in roots),
`amiss`, `said` (the operator's word to a run at work), `trace`.
"""
