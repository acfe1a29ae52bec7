"""How fast the copy may be, who goes first, and whether the clock can be believed meanwhile.

Face: `throttle`, `priority`, `timer`, `warming`.
"""
