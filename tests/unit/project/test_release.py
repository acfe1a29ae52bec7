"""The release: what is run is named by its commit, what is pushed is for two architectures, and a wrong tag is refused.

It runs on the forge; here it is read, and the one script in it that decides is run.
"""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / ".github/workflows/release.yml").read_text()
PINNED = re.compile(r"^ +(?:- )?uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
JOB: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]["image"]


def step(named: str) -> dict[str, Any]:
    found: dict[str, Any]
    (found,) = [one for one in JOB["steps"] if named in one.get("uses", one.get("name", ""))]
    return found


def test_every_action_is_named_by_its_commit() -> None:
    lines = [line for line in TEXT.splitlines() if "uses:" in line]
    assert len(lines) == sum("uses" in one for one in JOB["steps"])
    assert [line for line in lines if not PINNED.match(line)] == []


def test_it_may_do_no_more_than_it_needs() -> None:
    assert yaml.safe_load(TEXT)["permissions"] == {}
    assert JOB["permissions"] == {"contents": "read", "id-token": "write"}


def test_what_is_pushed_is_whole_and_is_signed_by_its_digest() -> None:
    pushed = step("build-push-action")["with"]
    assert pushed["platforms"].split(",") == ["linux/amd64", "linux/arm64"]
    assert (pushed["push"], pushed["sbom"], pushed["provenance"]) == (True, True, "mode=max")
    arguments = {line.partition("=")[0] for line in pushed["build-args"].splitlines()}
    assert arguments <= set(re.findall(r"^ARG (\w+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    signed = step("Sign all of it")
    assert signed["env"]["PLACE"].endswith("@${{ steps.build.outputs.digest }}")
    assert JOB["steps"].index(signed) > JOB["steps"].index(step("build-push-action"))


@pytest.mark.parametrize(("tag", "fits"), [("v1.2.3", True), ("v1.2.4", False), ("v1.2.30", False), ("v1x2.3", False)])
def test_a_tag_that_is_not_the_programs_version_is_refused(tmp_path: Path, tag: str, fits: bool) -> None:
    (tmp_path / "entrypoint").mkdir()
    (tmp_path / "entrypoint/__init__.py").write_text('"""It."""\n\n__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [1.2.3] - 2026-12-01\n")
    told = tmp_path / "told"
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for words in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "a"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", step("The tag is the version")["run"]], cwd=tmp_path, check=False,
        env={"GITHUB_REF_NAME": tag, "GITHUB_OUTPUT": str(told), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode == 0) is fits
    assert told.exists() is fits
    if fits:
        assert re.fullmatch(r"version=1\.2\.3\nepoch=\d{10}\n", told.read_text())


def test_a_version_that_the_changelog_does_not_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "entrypoint").mkdir()
    (tmp_path / "entrypoint/__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n")
    done = subprocess.run(
        ["bash", "-e", "-c", step("The tag is the version")["run"]], cwd=tmp_path, check=False,
        env={"GITHUB_REF_NAME": "v1.2.3", "GITHUB_OUTPUT": str(tmp_path / "told"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode != 0
