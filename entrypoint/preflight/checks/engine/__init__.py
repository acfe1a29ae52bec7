"""The checks of the engine itself: its image store, its swarm, and what its containers need to start.

Face: each module.
"""
