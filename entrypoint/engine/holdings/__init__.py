"""What a root holds, as its files tell, without an engine: whole or not, in use or not, older or newer than another.

Face: `holdings`, `whole`, `written_since`, `kinship`, `in_use`, `unneeded`.
"""
