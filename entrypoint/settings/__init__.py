"""Every place that can set a root: the one that wins is found, and the smallest edit of it is made and taken back.

Face: `places` (`decide`), `setting`, `formats`, `file_edit` (`FileEdit`), `edits`, `switch`, `flags`, `options`
(what else a start reads), `masked` (how a file is shown).
"""
