"""The checks of what a root consists of, and of who uses paths inside it.

Face: each module.
"""
