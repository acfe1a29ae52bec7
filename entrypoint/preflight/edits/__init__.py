"""The edits that the facts call for: pure, asked by the checks and made by the plan.

Face: `engine` (the engine's own files, SELinux's rules, what wakes it), `containerd` (its files, where its root moves).
"""
