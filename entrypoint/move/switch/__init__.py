"""The instant from which the next start finds the target: two files as one, and the guard for a power cut between.

Face: `paired_switch`, `guard`.
"""
