"""Move a Docker engine's storage to a new path, with a short downtime and always a running engine."""

__version__ = "0.1.0"
