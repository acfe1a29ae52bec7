"""Pure data: what will be done, in which order, at what cost. Made from facts, printed, stored, executed unchanged.

Face: `plan` (`Plan`, `make`), `root_move` (`RootMove`), `outline` (in sentences), `outlook` (in figures), `when`
(it goes by itself). Touches nothing.
"""
