"""What the operator can ask for, one file a command. Reads the command line, calls what is below, gives an exit code.

Face: `line` (what was typed), `verbs` (by which it is done), `sibling`. Behind them: the look of check and plan, the
move, the way back, the removal, and the answer to `status`.
"""
