"""What containers need of the host, who they belong to, and which of their processes outlive the engine.

Face: `needs`, `owners`, `strays`.
"""
