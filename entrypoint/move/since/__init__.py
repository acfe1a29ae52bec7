"""What has happened since the engine was started on a root: what others did, and whether anybody may have written.

Face: `acts`, `served`.
"""
