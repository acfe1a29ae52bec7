"""What containers need of the host, who they belong to, how long a stop and a start of them take, and which of their
processes outlive the engine.

Face: `needs`, `owners`, `strays`, `turnaround`.
"""
