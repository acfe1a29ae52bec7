"""The examples for machines that are set up at their first boot, as far as no boot is needed."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
CLOUD = sorted((ROOT / "examples/cloud-init").glob("*.yaml"))
BUTANE = ROOT / "examples/butane/relocate.bu"
SCRIPTS = ("bootcmd", "runcmd")
KNOWN = {"disk_setup", "fs_setup", "mounts", *SCRIPTS}
# https://coreos.github.io/butane/config-fcos-v1_4/, as far as it is used
BUTANE_KEYS = {
    "": {"variant", "version", "storage", "systemd"},
    "storage": {"disks", "filesystems", "files"},
    "storage.disks": {"device", "wipe_table", "partitions"},
    "storage.disks.partitions": {"label", "number", "size_mib", "start_mib", "resize"},
    "storage.filesystems": {"device", "path", "format", "label", "wipe_filesystem", "with_mount_unit", "mount_options"},
    "storage.files": {"path", "mode", "overwrite", "contents"},
    "storage.files.contents": {"source", "inline", "local", "compression", "verification"},
    "storage.files.contents.verification": {"hash"},
    "systemd": {"units"},
    "systemd.units": {"name", "enabled", "contents", "mask", "dropins"},
}


def script(example: Path, module: str) -> str:
    """What cloud-init makes of a list of commands: one script of sh."""
    commands: list[str] = yaml.safe_load(example.read_text()).get(module, [])
    return "\n".join(["#!/bin/sh", *commands, ""])


@pytest.mark.parametrize("example", CLOUD, ids=lambda example: example.stem)
def test_an_example_is_cloud_config_with_scripts_that_a_shell_understands(example: Path) -> None:
    text = example.read_text()
    assert text.startswith("#cloud-config\n")
    assert set(yaml.safe_load(text)) <= KNOWN
    for module in SCRIPTS:
        require_sound(script(example, module))


def test_the_examples_are_there() -> None:
    assert [example.stem for example in CLOUD] == ["first-boot", "stateless", "with-content"]


def require_sound(text: str) -> None:
    done = subprocess.run(["shellcheck", "-"], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("example", CLOUD, ids=lambda example: example.stem)
def test_a_command_that_fails_ends_the_list(example: Path) -> None:
    """Commands of one list are one script, and cloud-init looks at how its last command has ended."""
    text = "".join(script(example, module) for module in SCRIPTS)
    stops = text.index("set -e\n")
    assert stops < text.index("mountpoint -q", stops) < text.index("docker run")
    assert "| sh" not in text  # a script that could not be printed would be an empty one, and no error


def inner(example: Path, name: str) -> str:
    """What a script writes to a file by a here-document."""
    return script(example, "bootcmd").partition(f"<<'{name}'\n")[2].partition(f"\n{name}\n")[0] + "\n"


def test_what_the_example_for_stateless_hosts_writes_is_sound(tmp_path: Path) -> None:
    example = ROOT / "examples/cloud-init/stateless.yaml"
    require_sound("#!/bin/sh\n" + inner(example, "SCRIPT"))
    require_unit(tmp_path, inner(example, "UNIT"))


def test_the_butane_example_has_the_keys_of_its_version() -> None:
    config = yaml.safe_load(BUTANE.read_text())
    assert (config["variant"], config["version"]) == ("fcos", "1.4.0")
    require_known(config, "")
    (disk,), (system,), (file,) = (config["storage"][part] for part in ("disks", "filesystems", "files"))
    assert system["device"] == f"/dev/disk/by-partlabel/{disk['partitions'][0]['label']}"
    assert file["path"] in config["systemd"]["units"][0]["contents"]


def require_known(config: Any, place: str) -> None:
    if isinstance(config, list):
        for one in config:
            require_known(one, place)
    elif isinstance(config, dict):
        assert set(config) <= BUTANE_KEYS[place], place
        for key, value in config.items():
            require_known(value, f"{place}.{key}".lstrip("."))


def test_the_unit_of_the_butane_example_is_sound(tmp_path: Path) -> None:
    (unit,) = yaml.safe_load(BUTANE.read_text())["systemd"]["units"]
    assert (
        f"RequiresMountsFor={yaml.safe_load(BUTANE.read_text())['storage']['filesystems'][0]['path']}"
        in unit["contents"]
    )
    require_unit(tmp_path, unit["contents"])


def require_unit(place: Path, text: str) -> None:
    """As systemd reads it; docker itself may not be here."""
    assert "Requires=docker.service\n" not in text.replace("Not Requires=docker.service", "")
    (place / "relocate.service").write_text(text.replace("/usr/bin/docker", shutil.which("true") or "true"))
    environment = {"SYSTEMD_UNIT_PATH": f"{place}:", "SYSTEMD_LOG_LEVEL": "warning", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "relocate.service"],
        capture_output=True, text=True, timeout=60, check=False, env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
