"""Pure functions from facts to findings: of the target, the roots, the engine, containerd, settings, and SELinux.

Face: each module; `preflight` knows who asks which.
"""
