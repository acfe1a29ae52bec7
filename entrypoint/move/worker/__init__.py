"""The process that carries on while the engine is down: handed to the host's systemd, and what it is to the end.

Face: `handover`, `worker` (`work`), `hold` (until the operator says go), `hearing`, `last_look`, `arrival`,
`departure`, `keeper`.
"""
