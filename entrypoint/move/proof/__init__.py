"""What is proven of an engine once it is up again, and what runs again.

Face: `verify`, `restart`, `intact` (roots that were left), `adopted`.
"""
