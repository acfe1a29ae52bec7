"""What the operator can ask for, one file a command. Reads the command line, calls what is below, gives an exit code.

Face: `cli`, `survey` (check and plan), `run`, `rollback`, `cleanup`, `script`, `sibling`, and `status`.
"""
