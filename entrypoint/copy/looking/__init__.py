"""What is to be copied, what has changed in it since, what is left out, and whether two trees are equal.

Face: `changes`, `comparison`, `marks`, `shards`, `left_out`, `clock`.
"""
