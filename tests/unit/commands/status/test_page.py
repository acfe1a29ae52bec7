"""The page is well formed, holds everything in itself, and shows any name as text."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from entrypoint.commands.status.page import NOTHING_ELSE, page, place_of, save
from entrypoint.commands.status.state import State
from entrypoint.commands.status.status import Status
from entrypoint.commands.status.timeline import Span
from entrypoint.console.errors import UsageError
from tests.unit.support.fakes import make_host

PAGE = (Path(__file__).parents[4] / "docs/json.md").read_text()
MOVED = Status(
    State.COMMITTED,
    run="000001",
    source="/var/lib/docker",
    target="/mnt/<script>alert('&')</script>",
    old_root="kept",
    downtime=2.34,
    timeline=(Span("pre-copy", 100, 40, False), Span("freeze", 140, 1, True), Span("verify", 141, 1.34, True)),
    verified={"containers": 3, "images": 1},
    frees=5 * 1024**3,
    host="web1",
    began="2026-03-01T10:00:00+01:00",
    ended="2026-03-01T10:01:00+01:00",
)


def parsed(status: Status) -> ElementTree.Element:
    """As XML: every element closed, every value quoted."""
    text = re.sub(r"<meta ([^>]*)>", r"<meta \1/>", page(status).removeprefix("<!doctype html>\n"))
    return ElementTree.fromstring(text)


def test_the_page_tells_what_was_and_draws_it() -> None:
    found = parsed(MOVED)
    text = "".join(found.itertext())
    for words in ("run 000001, committed", "2.3 s", "3 containers, 1 image, all as before", "5.0 GiB", "rollback",
                  "on web1 2026-03-01 10:00:00+01:00", "ended2026-03-01T10:01:00+01:00"):  # fmt: skip
        assert words in text
    bars = [(float(bar.get("x", "0")), bar.get("class")) for bar in found.iter("rect")]
    assert [colour for _, colour in bars] == ["there", "away", "away"]
    assert sorted(bars) == bars


def test_the_colours_are_explained_where_there_is_a_picture() -> None:
    legend = "■ the engine runs   ■ the engine is away"
    assert legend in "".join(parsed(MOVED).itertext())
    assert legend not in "".join(parsed(replace(MOVED, timeline=())).itertext())


@pytest.mark.parametrize(("old_root", "told"), [("kept", True), ("removed", False), ("being removed", False)])
def test_what_is_past_is_not_offered(old_root: str, told: bool) -> None:
    text = "".join(parsed(replace(MOVED, old_root=old_root)).itertext())
    assert ("cleanup gives back" in text) is told
    assert f"old data root/var/lib/docker, {old_root}" in text


def test_a_name_is_shown_and_not_run() -> None:
    assert "<script" not in page(MOVED)
    assert "alert('&')" in "".join(parsed(MOVED).itertext())


class Seen(HTMLParser):
    """What a browser would make of a page: elements, attributes, styles, and text."""

    def __init__(self, status: Status) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page(status))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


ELEMENTS = {"html", "head", "meta", "title", "style", "body", "h1", "pre", "svg", "text", "rect", "table", "tr", "th",
            "td", "p", "span"}  # fmt: skip
# None of them fetches or runs anything.
ATTRIBUTES = {"lang", "charset", "name", "content", "http-equiv", "viewbox", "role", "aria-label", "class", "x", "y",
              "width", "height"}  # fmt: skip
EVIL = "</pre><script>alert(1)</script><img src=x onerror='alert(2)'>\"&quot;"
EVERYWHERE = replace(
    MOVED, run=EVIL, source=EVIL, target=EVIL, phase=EVIL, reason=EVIL, left=EVIL, problems=(EVIL,),
    timeline=(Span(EVIL, 1, 2, True),),
)  # fmt: skip


@pytest.mark.parametrize("state", [*State])
def test_whatever_a_name_holds_the_page_has_only_what_it_is_to_have(state: State) -> None:
    status = replace(EVERYWHERE, state=state)
    seen = Seen(status)
    assert seen.elements == ELEMENTS
    assert seen.attributes <= ATTRIBUTES
    assert seen.text.count(EVIL) >= 3
    assert NOTHING_ELSE == "default-src 'none'; style-src 'unsafe-inline'"
    assert f'content="{NOTHING_ELSE}"' in page(status)


def test_nothing_is_fetched() -> None:
    assert not re.search(r"https?:|src=|url\(|@import|<link", page(MOVED))


def test_a_page_goes_to_a_file_of_the_host_and_over_one_of_ours(tmp_path: Path) -> None:
    host = make_host(tmp_path)
    host.path("/root").mkdir()
    for status in (MOVED, replace(MOVED, run="000002")):
        save(place_of(host, "/root/page.html"), status)
        assert (tmp_path / "root/page.html").read_text() == page(status)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("page.html", "absolute path"),
        ("", "absolute path"),
        ("/none/page.html", "no directory /none"),
        ("/root/theirs", "no page of relocator's"),
        ("/root/link", "no page of relocator's"),
        ("/root", "no page of relocator's"),
        ("/", "no page of relocator's"),
    ],
)
def test_a_page_takes_the_place_of_nothing_else(tmp_path: Path, name: str, message: str) -> None:
    host = make_host(tmp_path)
    host.path("/root").mkdir()
    host.path("/root/theirs").write_text("<!doctype html>")
    host.path("/root/link").symlink_to("/root/theirs")
    with pytest.raises(UsageError) as failed:
        place_of(host, name)
    assert message in failed.value.text()


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        save(tmp_path / "gone/page.html", MOVED)


@pytest.mark.parametrize("state", [*State])
def test_every_state_has_a_page(state: State) -> None:
    assert state in "".join(parsed(replace(MOVED, state=state)).itertext())
    assert list(parsed(Status(state)).iter("svg")) == []


def test_the_document_for_programs_is_what_its_page_describes() -> None:
    section = PAGE.partition("## status")[2]
    described = re.findall(r"`([a-z_]+)`", " ".join(re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)))
    assert sorted(described) == sorted([*(one.name for one in fields(Status)), "version", "exit_code"])
    assert sorted(described) == sorted(MOVED.to_json())
