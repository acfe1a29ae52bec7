"""The unit of the host that runs the engine, and what there is where no engine answers.

Face: `service`, `absence`.
"""
