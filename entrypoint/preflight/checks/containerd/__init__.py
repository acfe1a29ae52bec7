"""The checks of the containerd that an engine keeps its images in, and of where its root is set.

Face: each module.
"""
