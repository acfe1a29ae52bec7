"""Reaching, copying and removing what is below a root without ever leaving it, whoever exchanges names meanwhile.

Face: `beneath` and `tree` (reach), `entries`, `blocks` and `chattr` (make one equal), `removal` (remove a tree),
`confinement` (mounts and a namespace of their own). Two walls; each is enough by itself.
"""
