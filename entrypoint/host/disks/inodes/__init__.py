"""Which inodes of a file system have changed since an instant, asked of the file system as a whole and not of a tree.

Face: `table`, and `unfit` (why there is none).
"""
