"""What the program prints of itself, for others to keep: the script, the bundle, a shell's completion, a manual page.

Face: `script`, `completion`, `manual`.
"""
