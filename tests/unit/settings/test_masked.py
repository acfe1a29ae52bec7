"""What is shown of the host's configuration: the root and what is known to be harmless; no secret of any kind."""

import io
import json
import os
from pathlib import Path

import pytest

from entrypoint.console import events as logging
from entrypoint.console.discretion import discreet, told
from entrypoint.preflight import validation
from entrypoint.settings import formats, masked
from entrypoint.settings.file_edit import FileEdit
from entrypoint.settings.formats import with_root
from entrypoint.settings.setting import Form, Kind, Setting

SECRET = "Zq7secret"
ROOT, TARGET = "/var/lib/docker", "/mnt/data/docker"
DAEMON_JSON = {
    "data-root": ROOT,
    "log-level": "warn",
    "hosts": ["fd://", f"tcp://me:{SECRET}@0.0.0.0:2376"],
    "proxies": {"http-proxy": f"http://me:{SECRET}@proxy:3128", "https-proxy": f"http://{SECRET}@proxy"},
    "labels": [f"key={SECRET}"],
    "log-opts": {"splunk-token": SECRET, "awslogs-stream": SECRET, "max-size": SECRET, "pin": 7007007},
    "storage-opts": [f"overlay2.{SECRET}"],
    "registry-mirrors": [f"https://mirror/{SECRET}"],
    "auths": {"https://registry": {"auth": SECRET, SECRET + " ": {"deep": [SECRET, {"x": SECRET}]}}},
    "runtimes": {"x": {"path": "/x", "runtimeArgs": [SECRET]}},
    "a-key-of-tomorrow": SECRET,
    "dns": ["10.0.0.2"],
}
UNIT = f"""# password {SECRET}
[Unit]
Description=Docker
[Service]
Environment=HTTP_PROXY=http://me:{SECRET}@proxy "TOKEN={SECRET} {SECRET}=" B={SECRET}
Environment="AUTH=Basic {SECRET}=="
SetCredential=a:{SECRET}
X-Of-Tomorrow={SECRET}
ExecStartPre=-/usr/bin/curl -u me:{SECRET} -H "Authorization: {SECRET}" --header={SECRET} -H{SECRET} {SECRET}
ExecStart=/usr/bin/dockerd -H fd:// --data-root={ROOT} --label a={SECRET} --label=b={SECRET} --storage-opt {SECRET} \\
    --log-opt="splunk-token={SECRET} {SECRET}" \\
    # {SECRET}
    --http-proxy http://me:{SECRET}@proxy --log-level warn $OPTIONS ${{MORE}} {SECRET}
{SECRET} is no line
ExecStartPost=/usr/bin/{SECRET[:2]}/x!{SECRET}
"""
ENVIRONMENT = f"""# {SECRET}
DOCKER_OPTS="--data-root={ROOT} --label={SECRET} --storage-opt={SECRET} {SECRET}"
HTTP_PROXY=http://me:{SECRET}@proxy
KEY='-----BEGIN
{SECRET}=
{SECRET}==' \\
 {SECRET}=
A=it's
{SECRET}=x"
 {SECRET} no assignment
"""
CONFIG_TOML = f"""# {SECRET}
version = 2
root = "{ROOT}"
disabled_plugins = ["cri"]
"state" = '/run/containerd'
[plugins."io.containerd.grpc.v1.cri".registry.configs."r:5000".auth] # {SECRET}
  username = "{SECRET}"
  password = '{SECRET}'
  pin = 7007007
  list = [
    "{SECRET}", # {SECRET}
    ["{SECRET}"]
  ]
  inline = {{ root = "x", auth = "{SECRET}", deeper = {{ a = ["{SECRET}"] }} }}
  text = \"\"\"
{SECRET} = "{SECRET}"
root = {SECRET}
\"\"\"
  other = \'\'\'
{SECRET}\'\'\'
"""
FILES = {
    "json": (json.dumps(DAEMON_JSON, indent=2), Setting()),
    "json on one line": (json.dumps(DAEMON_JSON), Setting()),
    "toml": (CONFIG_TOML, Setting(Kind.TOML, "root")),
    "command": (UNIT, Setting(Kind.COMMAND, "data-root", was=ROOT)),
    "variable": (UNIT.replace(" B=", f" DOCKER_OPTS=--data-root={ROOT} B="),
                 Setting(Kind.VARIABLE, "DOCKER_OPTS", was=ROOT)),
    "environment": (ENVIRONMENT, Setting(Kind.ENVIRONMENT, "DOCKER_OPTS", was=ROOT)),
    "root alone": (f"DOCKER_ROOT={ROOT}\nA={SECRET}\n",
                   Setting(Kind.ENVIRONMENT, "DOCKER_ROOT", Form.VERBATIM, was=ROOT)),
}  # fmt: skip


@pytest.mark.parametrize(("text", "setting"), list(FILES.values()), ids=FILES)
def test_a_diff_shows_both_roots_and_no_secret(text: str, setting: Setting) -> None:
    after = with_root(text.encode(), TARGET, setting, "file")
    shown = FileEdit(
        "/etc/file.json" if setting == Setting() else "/etc/file", text.encode(), after, (), setting
    ).diff()
    assert SECRET not in shown, shown
    assert "7007007" not in shown
    lines = shown.splitlines()
    assert [line for line in lines if line.startswith("-") and ROOT in line], shown
    assert [line for line in lines if line.startswith("+") and TARGET in line], shown


@pytest.mark.parametrize(("text", "setting"), list(FILES.values()), ids=FILES)
def test_the_whole_of_a_file_shows_no_secret_and_every_line(text: str, setting: Setting) -> None:
    shown = formats.lines(text.encode(), setting.kind, setting.name, (ROOT,))
    assert SECRET not in "".join(shown), "".join(shown)
    assert len(shown) == len(text.splitlines())
    assert ROOT in "".join(shown)


def test_what_is_harmless_is_shown() -> None:
    shown = "".join(formats.lines(json.dumps(DAEMON_JSON).encode(), Kind.JSON))
    assert all(word in shown for word in ('"log-level": "warn"', '"fd://"', "10.0.0.2", '"splunk-token": "***"'))
    unit = "".join(formats.lines(UNIT.encode(), Kind.COMMAND, roots=(ROOT,)))
    assert "ExecStart=/usr/bin/dockerd -H fd:// --data-root=/var/lib/docker --label *** --label=*** " in unit
    assert "--log-level warn $OPTIONS ${MORE} ***" in unit
    assert "Description=Docker\n" in unit
    assert "Environment=HTTP_PROXY=***" in unit
    toml = "".join(formats.lines(CONFIG_TOML.encode(), Kind.TOML))
    assert all(word in toml for word in ("'/run/containerd'", '["cri"]', '.configs."r:5000".auth]', "version = 2"))


@pytest.mark.parametrize("kind", [Kind.JSON, Kind.TOML])
def test_of_what_is_not_understood_nothing_is_shown(kind: Kind) -> None:
    assert formats.lines(f"root = {SECRET}\n{{".encode(), kind) == ["***\n", "***"]


def test_a_command_is_shown_without_the_values_of_its_flags() -> None:
    words = ("/usr/bin/dockerd", "--label", SECRET, f"--log-opt=a={SECRET}", "--data-root", ROOT, "-H", "fd://", SECRET)
    assert masked.command(words) == f"/usr/bin/dockerd --label *** --log-opt=*** --data-root {ROOT} -H fd:// ***"
    assert masked.command(("/bin/sh", "-c", f"echo {SECRET}")) == "/bin/sh -c ***"
    assert masked.command(()) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"dial http://me:{SECRET}@proxy:3128/x failed", "dial http://***@proxy:3128/x failed"),
        (f"http://{SECRET}@h,https://a:b/{SECRET}@h", "http://***@h"),
        ("ssh://root@host, unix:///run/docker.sock", "ssh://root@host, unix:///run/docker.sock"),
        (f"ssh://root:{SECRET}@host", "ssh://***@host"),
        (f"data: username=me,password={SECRET}: permission denied", "data: username=me,password=*** permission denied"),
        (f"--log-opt splunk-token={SECRET} x", "--log-opt splunk-token=*** x"),
        (f'{{"auth": "{SECRET}", "b": 1}}', '{{"auth": "***", "b": 1}}'.replace("{{", "{").replace("}}", "}")),
        (f'\\"identitytoken\\":\\"{SECRET}\\"', '\\"identitytoken\\":\\"***\\"'),
        (f"Authorization: Bearer {SECRET}", "Authorization: Bearer ***"),
        (f"curl --proxy-password {SECRET} x", "curl --proxy-password *** x"),
        (f"labels: (from flag: [a={SECRET}, b], from file: [{SECRET})])", "labels: (from flag: ***, from file: ***)"),
        (f"AWS_SECRET_ACCESS_KEY={SECRET}", "AWS_SECRET_ACCESS_KEY=***"),
        ("image name@sha256:12ab, the authors say: fine", "image name@sha256:12ab, the authors say: fine"),
    ],
)
def test_a_text_of_others_is_told_without_what_has_the_form_of_a_secret(text: str, shown: str) -> None:
    assert told(text) == shown
    assert told(shown) == shown


def test_a_document_is_told_so_in_all_its_depth() -> None:
    given = {"a": [f"token={SECRET}", {"b": (f"password={SECRET}", 7, None)}], "c": Kind.JSON}
    assert discreet(given) == {"a": ["token=***", {"b": ("password=***", 7, None)}], "c": Kind.JSON}


@pytest.mark.parametrize("human", [True, False])
def test_no_line_of_a_log_and_nothing_that_is_said_has_one(human: bool) -> None:
    stream = io.StringIO()
    logging.configure(stream, human=human)
    try:
        raise OSError(5, f"dial http://me:{SECRET}@proxy")
    except OSError:
        logging.log.exception("undo.failed", step=f"password={SECRET}", deep={"a": [f"token={SECRET}"]})
    logging.say(f'{{"auth": "{SECRET}"}}', stream)
    logging.configure()
    assert "***@proxy" in stream.getvalue()
    assert SECRET not in stream.getvalue()


def test_what_is_given_to_dockerd_to_validate_is_roots_alone(tmp_path: Path) -> None:
    """Beside a directory that is there, and a file that one that was killed has left."""
    place = tmp_path / "validated.json"
    place.write_text("old")
    place.chmod(0o644)
    umask = os.umask(0)
    try:
        with validation._put(place, b"{}"):
            assert (place.read_bytes(), oct(place.stat().st_mode)) == (b"{}", "0o100600")
    finally:
        os.umask(umask)
    assert not place.exists()
