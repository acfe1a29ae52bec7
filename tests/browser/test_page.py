"""`status --html` in a real browser: it is drawn, it complains of nothing, it asks for nothing but itself."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.commands.status.page import page
from entrypoint.commands.status.status import Status
from entrypoint.commands.status.timeline import Span
from tests.browser.chromium import DRIVER, Browser, browser, colours
from tests.unit.commands.status.test_page import EVERYWHERE, EVIL, MOVED

pytestmark = pytest.mark.matrix

AWAY, THERE = (0xC0, 0x39, 0x2B), (0x2E, 0x86, 0xC1)  # the colours in entrypoint/commands/status/page.py
BOXES = """[...document.querySelectorAll('SELECTOR')].map(one => {
    const box = one.getBoundingClientRect(); return [box.x, box.y, box.width, box.height]; })"""
GOOD = replace(MOVED, target="/mnt/data/docker")


@pytest.fixture(scope="module")
def shown() -> Iterator[Browser]:
    if shutil.which(DRIVER) is None:
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"no {DRIVER}: make test-browser")
    with browser() as one:
        one.resize(1000, 900)
        yield one


def show(shown: Browser, place: Path, status: Status) -> str:
    """Open the page of a run; its address."""
    file = place / "page.html"
    file.write_text(page(status))
    shown.requests()
    shown.open(file.as_uri())
    return file.as_uri()


def boxes(shown: Browser, selector: str) -> list[list[float]]:
    found: list[list[float]] = shown.evaluate(BOXES.replace("SELECTOR", selector))
    return found


def test_it_asks_for_nothing_but_itself_and_complains_of_nothing(shown: Browser, tmp_path: Path) -> None:
    address = show(shown, tmp_path, GOOD)
    assert shown.evaluate("document.title") == "relocator: run 000001, committed"
    assert set(shown.requests()) == {address}
    assert shown.complaints() == []


def test_the_timeline_is_a_picture_in_order_and_to_scale(shown: Browser, tmp_path: Path) -> None:
    show(shown, tmp_path, GOOD)
    bars, words = boxes(shown, "svg rect"), boxes(shown, "svg text")
    assert len(bars) == len(GOOD.timeline)
    assert len(words) == 2 * len(bars)
    assert all(width > 0 and height > 5 for _, _, width, height in bars + words)
    assert bars == sorted(bars, key=lambda box: (box[1], box[0]))
    assert bars[0][2] == pytest.approx(bars[1][2] * 40, rel=0.02)  # 40 seconds, and one
    (whole,) = boxes(shown, "svg")
    assert all(left >= whole[0] and left + width <= whole[0] + whole[2] for left, _, width, _ in bars + words)


def test_it_is_seen(shown: Browser, tmp_path: Path) -> None:
    show(shown, tmp_path, GOOD)
    picture = shown.screenshot()
    if place := os.environ.get("SCREENSHOT"):
        Path(place).write_bytes(picture)
    seen = colours(picture)
    bars = boxes(shown, "svg rect")
    assert seen[THERE] == pytest.approx(bars[0][2] * bars[0][3], rel=0.1)
    assert seen[AWAY] > 50
    assert len(seen) > 20  # letters have soft edges


@pytest.mark.parametrize("width", [400, 1600])
def test_it_fits_a_small_window_and_a_large_one(shown: Browser, tmp_path: Path, width: int) -> None:
    shown.resize(width, 900)
    show(shown, tmp_path, replace(GOOD, target="/mnt/" + "long/" * 60, reason="x" * 500))
    assert shown.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    shown.resize(1000, 900)


def test_it_can_be_read_on_a_telephone(shown: Browser, tmp_path: Path) -> None:
    phases = ("preflight", "pre-copy", "freeze", "final sync", "check the copy", "switch", "start", "verify")
    shown.resize(400, 900)
    show(shown, tmp_path, replace(GOOD, timeline=tuple(Span(one, at, 1, at > 1) for at, one in enumerate(phases))))
    assert all(height >= 10 for _, _, _, height in boxes(shown, "svg text, td, th, .legend"))
    words, bars = boxes(shown, "svg text"), boxes(shown, "svg rect")
    assert all(name[0] + name[2] <= bar[0] for name, bar in zip(words[::2], bars, strict=True))
    (whole,) = boxes(shown, "svg")
    assert all(left + width <= whole[0] + whole[2] + 1 for left, _, width, _ in words)
    shown.resize(1000, 900)


def test_a_name_is_shown_and_not_run(shown: Browser, tmp_path: Path) -> None:
    address = show(shown, tmp_path, EVERYWHERE)
    assert shown.evaluate("document.querySelectorAll('script, img').length") == 0
    assert EVIL in shown.evaluate("document.querySelector('pre').textContent")
    assert set(shown.requests()) == {address}
    assert shown.complaints() == []
