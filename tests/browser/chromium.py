"""A browser without a window, told what to do in the words of WebDriver (https://www.w3.org/TR/webdriver2/)."""

import base64
import json
import re
import struct
import subprocess
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

DRIVER, BROWSER = "chromedriver", "/usr/bin/chromium"
STARTED = re.compile(rb"started successfully on port (\d+)")
ANSWER = 60.0  # seconds
# No sandbox: that is not for root. The shared memory of a container is small.
ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
CHANNELS = {2: 3, 6: 4}  # bytes of a pixel by its colour type: RGB, RGBA
Colour = tuple[int, int, int]


@dataclass
class Browser:
    address: str

    def ask(self, method: str, path: str, **body: Any) -> Any:
        data = json.dumps(body).encode() if method == "POST" else None
        request = urllib.request.Request(f"{self.address}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=ANSWER) as answer:
            return json.load(answer)["value"]

    def open(self, url: str) -> None:
        self.ask("POST", "/url", url=url)

    def evaluate(self, expression: str) -> Any:
        return self.ask("POST", "/execute/sync", script=f"return {expression}", args=[])

    def resize(self, width: int, height: int) -> None:
        self.ask("POST", "/window/rect", width=width, height=height)

    def complaints(self) -> list[str]:
        """What its console says, of any level."""
        return [one["message"] for one in self.ask("POST", "/se/log", type="browser")]

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last time."""
        told = (json.loads(one["message"])["message"] for one in self.ask("POST", "/se/log", type="performance"))
        return [one["params"]["request"]["url"] for one in told if one["method"] == "Network.requestWillBeSent"]

    def screenshot(self) -> bytes:
        return base64.b64decode(self.ask("GET", "/screenshot"))


@contextmanager
def browser() -> Iterator[Browser]:
    with subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as driver:
        try:
            driver_of = Browser(f"http://127.0.0.1:{_port(driver)}/session")
            session = driver_of.ask("POST", "", capabilities={"alwaysMatch": _wanted()})["sessionId"]
            one = Browser(f"{driver_of.address}/{session}")
            yield one
            one.ask("DELETE", "")
        finally:
            driver.terminate()


def _wanted() -> dict[str, Any]:
    return {
        "browserName": "chrome",
        "goog:chromeOptions": {"binary": BROWSER, "args": list(ARGUMENTS)},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }


def _port(driver: "subprocess.Popen[bytes]") -> int:
    assert driver.stdout is not None
    said = b""
    while line := driver.stdout.readline():
        said += line
        if found := STARTED.search(line):
            return int(found[1])
    raise RuntimeError(said.decode(errors="replace"))


def colours(png: bytes) -> Counter[Colour]:
    """How many pixels have each colour; of the PNGs that a browser writes: eight bits, not interlaced."""
    width, height, depth, kind, *_, interlaced = struct.unpack(">IIBBBBB", png[16:29])
    assert (depth, interlaced) == (8, 0)
    size = CHANNELS[kind]
    raw = zlib.decompress(b"".join(_chunks(png, b"IDAT")))
    found: Counter[Colour] = Counter()
    above = bytes(width * size)
    for row in range(height):
        start = row * (width * size + 1)
        above = _unfiltered(raw[start], raw[start + 1 : start + 1 + width * size], above, size)
        found.update(zip(above[0::size], above[1::size], above[2::size], strict=True))
    return found


def _chunks(png: bytes, wanted: bytes) -> Iterator[bytes]:
    at = 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        if kind == wanted:
            yield png[at + 8 : at + 8 + length]
        at += 12 + length


def _unfiltered(how: int, line: bytes, above: bytes, size: int) -> bytes:
    """One row, from its differences to the pixel before and the row above (PNG specification, 9.2)."""
    done = bytearray(line)
    for at in range(len(done)):
        left = done[at - size] if at >= size else 0
        corner = above[at - size] if at >= size else 0
        guess = (0, left, above[at], (left + above[at]) // 2, _paeth(left, above[at], corner))[how]
        done[at] = (done[at] + guess) & 0xFF
    return bytes(done)


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda one: abs(guess - one))
