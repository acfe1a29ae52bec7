"""The roots of a move: the target, taken, finished, given back or discarded, and the old ones that moves have left.

Face: `claim`, `discard`, `finishing`, `renewal`, `old_roots`.
"""
