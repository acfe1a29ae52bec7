"""What is to be copied, what has changed in it since, what is left out, and whether two trees are equal.

Face: `changes`, `marks`, `comparison`, `shards`, `left_out`, `clock`, `index`, and `choice` (by what to look).
"""
