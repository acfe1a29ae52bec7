"""A tenant with no privilege at all that exchanges what it has, as fast as it can, until its parent ends.

A program of its own, started with `-c` in a directory that it may write to: it imports nothing of this project, gives
up its user first, and reaches everything by names below that directory.
"""

import ctypes
import json
import os
import random
import signal
import sys
import time

NOBODY = 65534
PR_SET_PDEATHSIG = 1
AT_FDCWD, RENAME_EXCHANGE = -100, 2
# Exchanges in one go, and seconds between two of them: a reader is met between any two of its calls only if what it
# reads is now the one for long, now the other.
BURSTS = (1, 1, 1, 2, 3, 40, 300)
PAUSES = (0.0, 0.0, 0.00002, 0.0002, 0.001, 0.004)


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    chance = random.Random(int(sys.argv[1]))
    pairs = [(os.fsencode(one), os.fsencode(other)) for one, other in json.loads(sys.argv[2])]
    # One word first, so that nobody takes for harmless what had not begun.
    os.write(1, b"begun\n")
    while True:
        one, other = chance.choice(pairs)
        for _ in range(chance.choice(BURSTS)):
            libc.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE)
        if pause := chance.choice(PAUSES):
            time.sleep(pause)


if __name__ == "__main__":
    main()
