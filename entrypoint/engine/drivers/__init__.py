"""Storage drivers: which one an engine takes on a root, and where it keeps layers that never change.

Face: `choice`, `layers`, `graph_store`.
"""
