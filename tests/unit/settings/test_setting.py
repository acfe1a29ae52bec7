"""A data root is found and changed where it stands, in every kind of file, and everything around it stays."""

from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from entrypoint.console.errors import PreflightError
from entrypoint.host.disks.stored import from_json, to_json
from entrypoint.settings import flags
from entrypoint.settings.formats import root_in, with_old_root, with_root
from entrypoint.settings.formats.text import text_of_file
from entrypoint.settings.places import Place, command_line
from entrypoint.settings.setting import Form, Kind, Setting
from entrypoint.settings.switch import change
from tests.unit.support.good_facts import CONFIG

COMMAND = Setting(Kind.COMMAND, "ExecStart", Form.FLAG, "/mnt")
IN_UNIT = Setting(Kind.VARIABLE, "OPTIONS", Form.FLAG, "/mnt")
IN_FILE = Setting(Kind.ENVIRONMENT, "OPTIONS", Form.FLAG, "/mnt")
ODD = (
    "/new",
    "/my disk",
    "/100%h",
    "/a$HOME",
    "/a${HOME}$$",
    "/it's",
    '/say "so"',
    """/both ' and " """ + "x",
    "/größe/ü",
    "/a;b",
    "/#x",
    "/a\\b",
    "/`x`",
)

COMMANDS = {
    "equals": ("[Service]\nExecStart=/usr/bin/dockerd --data-root=", "/mnt", " -H fd://\n"),
    "equals and quotes": ('[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H fd:// --data-root="', "/mnt", '"\n'),
    "single quotes": ("[Service]\nExecStart=/usr/bin/dockerd --data-root='", "/mnt", "'\n"),
    "the whole word in quotes": ('[Service]\nExecStart=/usr/bin/dockerd "--data-root=', "/mnt", '" -D\n'),
    "two words": ("[Service]\nExecStart=/usr/bin/dockerd --data-root ", "/mnt", "\n"),
    "two words and quotes": ('[Service]\nExecStart=/usr/bin/dockerd -g "', "/mnt", '" --debug\n'),
    "short": ("[Service]\nExecStart=/usr/bin/dockerd -g ", "/mnt", ""),
    "short and equals": ("[Service]\nExecStart=-/usr/bin/dockerd -g=", "/mnt", "\n"),
    "short and nothing": ("[Service]\nExecStart=/usr/bin/dockerd -D -g", "/mnt", " -H fd://\n"),
    "graph": ("[Service]\nExecStart=/usr/bin/dockerd --graph=", "/mnt", "\n"),
    "continued": (
        "[Unit]\nAfter=x\n\n[Service]\nExecStart=/usr/bin/dockerd \\\n  # why\n  -H fd:// \\\n\t--data-root ",
        "/mnt",
        " \\\n  $OPTIONS\nRestart=always\n",
    ),
    "the last counts": ("[Service]\nExecStart=/usr/bin/dockerd -g /first --data-root=", "/mnt", "\n"),
    "blanks around": ("[Service]\n  ExecStart =  /usr/bin/dockerd   --data-root  ", "/mnt", "   --debug  \r\n"),
    "other sections": ("[Service]\nExecStart=/usr/bin/dockerd --data-root ", "/mnt", "\n[X]\nExecStart=/b -g /c\n"),
}

FILES = {
    "double quotes": ('# a\nOTHER=1\nOPTIONS="--dns 8.8.8.8 -g ', "/mnt", '"\nTHIRD=\n'),
    "no quotes": ("OPTIONS=--dns 8.8.8.8 -g ", "/mnt", " --debug  \n"),
    "single quotes": ("OPTIONS='--selinux-enabled --data-root=", "/mnt", "'\n"),
    "quotes in quotes": ("OPTIONS='--data-root=\"", "/mnt", "\"'"),
    "escaped quotes": ('OPTIONS="-D --data-root=\\"', "/mnt", '\\" -l debug"\n'),
    "quotes in the middle": ('OPTIONS=--data-root="', "/mnt", '"\n'),
    "lines": ('OPTIONS="--selinux-enabled \\\n  --log-driver=journald \\\n  -g ', "/mnt", ' \\\n  -D"\n\nX=y\n'),
    "lines without quotes": ("OPTIONS=-D \\\n -g ", "/mnt", "\n"),
    "the last counts": ('OPTIONS="-g /a"\nOPTIONS="-g ', "/mnt", '"\n'),
    "blanks": ('  OPTIONS = "-g ', "/mnt", '"   \n'),
}

VARIABLES = {
    "the word in quotes": ('[Service]\nEnvironment="OPTIONS=-D -g ', "/mnt", '" X=1\n'),
    "no quotes": ("[Service]\nEnvironment=A=b OPTIONS=--data-root=", "/mnt", "\nEnvironment=C=d\n"),
    "the last counts": ("[Service]\nEnvironment=OPTIONS=-g/x\nEnvironment='OPTIONS=-g ", "/mnt", "'\n"),
}

CASES = [
    *[pytest.param(COMMAND, parts, id=f"command, {name}") for name, parts in COMMANDS.items()],
    *[pytest.param(IN_FILE, parts, id=f"file, {name}") for name, parts in FILES.items()],
    *[pytest.param(IN_UNIT, parts, id=f"variable, {name}") for name, parts in VARIABLES.items()],
]


@pytest.mark.parametrize(("setting", "parts"), CASES)
def test_the_root_is_found_and_changed_where_it_stands(setting: Setting, parts: tuple[str, str, str]) -> None:
    before, old, after = parts
    text = f"{before}{old}{after}".encode()
    assert root_in(text, setting, "f") == "/mnt"
    assert with_root(text, "/mnt/new", setting, "f") == f"{before}/mnt/new{after}".encode()


@pytest.mark.parametrize("root", ODD)
@pytest.mark.parametrize(("setting", "parts"), CASES)
def test_any_root_is_written_so_that_it_is_read_again(setting: Setting, parts: tuple[str, str, str], root: str) -> None:
    text = "".join(parts).encode()
    if "\\" in root and b"--data-root='" in text and setting is IN_FILE:
        pytest.skip("older versions of systemd take a backslash inside single quotes for an escape")
    edited = with_root(text, root, setting, "f")
    assert root_in(edited, setting, "f") == root
    assert with_root(edited, "/mnt", setting, "f").count(b"/mnt") == text.count(b"/mnt")


AS_WRITTEN = {
    "a number for a blank": (COMMAND, "/my disk", "--data-root=/my\\x20disk", "--data-root=/new"),
    "quotes in the middle": (COMMAND, "/my disk", '--data-root=/my" disk"', "--data-root=/new"),
    "doubled marks": (COMMAND, "/a%b$c", "-g /a%%b$$c -D", "-g /new -D"),
    "elsewhere too": (COMMAND, "/mnt", "-G=/mnt -g /mnt --exec-root=/mnt/run", "-G=/mnt -g /new --exec-root=/mnt/run"),
    "in a comment too": (COMMAND, "/mnt", "\\\n# -g /mnt\n -g /mnt\n# -g /mnt", "\\\n# -g /mnt\n -g /new\n# -g /mnt"),
    "broken in two": (IN_FILE, "/mnt", 'OPTIONS="-g /m\\\nnt"\n# /mnt', 'OPTIONS="-g /new"\n# /mnt'),
    "in another, too": (IN_FILE, "/mnt", "A=-g/mnt\nOPTIONS=-g/mnt\nB=/mnt", "A=-g/mnt\nOPTIONS=-g/new\nB=/mnt"),
}


@pytest.mark.parametrize(("setting", "root", "before", "after"), AS_WRITTEN.values(), ids=AS_WRITTEN)
def test_the_root_is_found_however_it_is_written_and_wherever_else(
    setting: Setting, root: str, before: str, after: str
) -> None:
    lead = "# /mnt\n[Service]\nExecStart=/usr/bin/dockerd " if setting is COMMAND else "# -g /mnt\n"
    assert root_in((lead + before).encode(), setting, "f") == root
    assert with_root((lead + before).encode(), "/new", setting, "f") == (lead + after).encode()


def test_what_a_shell_would_stumble_over_is_escaped_too() -> None:
    """Scripts of others read the file as well."""
    setting = replace(IN_FILE, form=Form.WORD)
    assert with_root(b"OPTIONS=/mnt\n", "/it's", setting, "f") == b'OPTIONS=\\"/it\\\'s\\"\n'
    assert with_root(b'OPTIONS="/mnt"\n', "/it's", setting, "f") == b'OPTIONS="\\"/it\'s\\""\n'


def test_a_packages_command_is_overridden_as_it_stands_over_its_lines() -> None:
    command = "/usr/bin/dockerd \\\n  # why\n  -H fd:// \\\n  --data-root=%s"
    content = f"[Service]\nExecStart={command % '/mnt'} \\\n\nRestart=no\n".encode()
    file = replace(CONFIG, path=PurePosixPath("/usr/lib/systemd/system/docker.service"), content=content)
    made = change(Place(file, COMMAND, "/mnt", ""), CONFIG, "/new").content.decode()
    assert made.partition("[Service]\n")[2] == f"ExecStart=\nExecStart={command % '/new'}\n"


def test_bytes_that_are_no_text_stay() -> None:
    text = b'\xff=1\r\nOPTIONS="-g /mnt"\n# \xe4\xf6\n'
    assert with_root(text, "/new", IN_FILE, "f") == text.replace(b"/mnt", b"/new")


@pytest.mark.parametrize(
    ("form", "text", "root"),
    [
        (Form.VERBATIM, b"OPTIONS=/my disk\n", "/my disk"),
        (Form.VERBATIM, b'OPTIONS="/mnt"\n', "/mnt"),
        (Form.WORD, b"OPTIONS=/mnt\n", "/mnt"),
        (Form.WORD, b"OPTIONS=\"'/my disk'\"\n", "/my disk"),
    ],
)
@pytest.mark.parametrize("odd", ODD)
def test_a_variable_may_hold_the_root_alone(form: Form, text: bytes, root: str, odd: str) -> None:
    setting = replace(IN_FILE, form=form)
    assert root_in(text, setting, "f") == root
    assert root_in(with_root(text, odd, setting, "f"), setting, "f") == odd


NOTHING: list[tuple[Setting, bytes | None]] = [
    (COMMAND, None),
    (COMMAND, b""),
    (COMMAND, b"[Service]\nExecStart=\n"),
    (COMMAND, b"[Service]\nExecStart=/usr/bin/dockerd -H fd://\n"),
    (COMMAND, b"[Service]\nExecStart=/usr/bin/dockerd --data-root\n"),
    (COMMAND, b"[Service]\n# ExecStart=/usr/bin/dockerd --data-root=/x\n"),
    (IN_FILE, b"OTHER=-g /x\n#OPTIONS=-g /x\n"),
    (IN_FILE, b"OPTIONS=\n"),
    (IN_UNIT, b"[Service]\nEnvironment=OPTIONS=-g/x\nEnvironment=\n"),
]


@pytest.mark.parametrize(("setting", "content"), NOTHING)
def test_where_no_root_is_named_none_is_found(setting: Setting, content: bytes | None) -> None:
    assert root_in(content, setting, "f") is None


@pytest.mark.parametrize(
    ("setting", "content"),
    [(COMMAND, b'[Service]\nExecStart=/usr/bin/dockerd "--data-root=/x\n'), (IN_FILE, b'OPTIONS="-g \'/x"\n')],
)
def test_what_systemd_would_refuse_is_not_understood(setting: Setting, content: bytes) -> None:
    with pytest.raises(PreflightError, match=r"f cannot be understood\."):
        root_in(content, setting, "f")


def test_a_file_that_others_have_edited_goes_back_in_the_root_alone() -> None:
    now = b'# theirs\nOPTIONS="-D -g /new"\n'
    assert with_old_root(now, b"OPTIONS=-g /mnt\n", IN_FILE, "f") == b'# theirs\nOPTIONS="-D -g /mnt"\n'


def test_a_setting_survives_being_stored() -> None:
    for setting in (COMMAND, replace(IN_FILE, form=Form.VERBATIM), Setting()):
        assert from_json(Setting, to_json(setting)) == setting


# --- the command line that these files make -------------------------------------------------------------------------

UNIT = replace(
    CONFIG,
    content=b"[Service]\nEnvironment=A=unit B=unit 'C=-g \"/c d\"'\n"
    b"ExecStart=@/usr/bin/dockerd -H fd:// $A ${B} --x=${B}%%$$ $C $NONE ${NONE} --data-root=${ROOT}\n",
)
VALUES = replace(CONFIG, content=b"A='1 2'\nROOT=/my disk\n")


def test_variables_are_put_in_as_systemd_does() -> None:
    found = [one.text for one in command_line([UNIT], [VALUES])]
    assert found == ["-H", "fd://", "1", "2", "unit", "--x=unit%$", "-g", "/c d", "", "--data-root=/my disk"]


def test_a_drop_in_without_a_command_keeps_the_units() -> None:
    drop_in = replace(CONFIG, content=b"[Service]\nRestart=no\n")
    assert command_line([UNIT, drop_in], []) == command_line([UNIT], [])


def test_a_drop_in_that_forgets_the_command_sets_its_own() -> None:
    drop_in = replace(CONFIG, content=b"[Service]\nExecStart=\nExecStart=dockerd -D\n")
    assert [one.text for one in command_line([UNIT, drop_in], [])] == ["-D"]
    assert text_of_file(command_line([UNIT, drop_in], [])[0].file.content).endswith("-D\n")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--data-root=/a"], [("--data-root", "/a", 0, 12)]),
        (["-D", "--data-root", "/a"], [("--data-root", "/a", 2, 0)]),
        (["-g", "/a", "-g=/b", "-g/c"], [("-g", "/a", 1, 0), ("-g", "/b", 2, 3), ("-g", "/c", 3, 2)]),
        (["--data-root-x", "/a", "--", "-g", "/b"], []),
        (["--graph"], []),
    ],
)
def test_flags_are_read_as_the_engine_reads_them(words: list[str], found: list[tuple[object, ...]]) -> None:
    given = flags.given(words, flags.ROOT)
    assert [(one.name, one.value, one.number, one.offset) for one in given] == found
