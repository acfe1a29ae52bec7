"""Whether the clock was set, from an instant on: the kernel cancels a timer of this process when somebody does.

Two looks at the clock do not see that it was set back and forward again in between, and what was changed meanwhile has
a time from before the first (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET). A clock that is slowed down or sped up, as
time servers do, is not set.
"""

import ctypes
import errno
import os
import threading
import time
import weakref

ABSOLUTE, CANCEL_ON_SET = 1, 2  # flags of timerfd_settime(2)
FAR = 1 << (40 if ctypes.sizeof(ctypes.c_long) == 8 else 30)  # seconds since 1970, and nothing waits for it
EXPIRATIONS = 8  # bytes, of the number that a read gives


class Instant(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class Setting(ctypes.Structure):
    """struct itimerspec"""

    _fields_ = (("interval", Instant), ("value", Instant))


def armed() -> int:
    """The handle of a timer that ends far in the future, or when the clock is set."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle: int = libc.timerfd_create(time.CLOCK_REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)
    setting = Setting(Instant(0, 0), Instant(FAR, 0))
    if handle < 0 or libc.timerfd_settime(handle, ABSOLUTE | CANCEL_ON_SET, ctypes.byref(setting), None):
        number = ctypes.get_errno()
        if number != errno.ECANCELED:  # set between the two calls, and armed all the same
            raise OSError(number, os.strerror(number), "timerfd")
    return handle


class Watch:
    """Counts how often the clock was seen to have been set, from when it is made."""

    def __init__(self) -> None:
        self._handle, self._seen, self._lock = armed(), 0, threading.Lock()
        weakref.finalize(self, os.close, self._handle)

    def count(self) -> int:
        """As long as it stays the same, the clock was not set."""
        with self._lock:
            if self._is_cancelled():
                self._seen += 1
            return self._seen

    def _is_cancelled(self) -> bool:
        """Whether it was set since the last look; a timer that has ended says the same of a clock of the far future."""
        try:
            os.read(self._handle, EXPIRATIONS)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
        return True
