"""Programs that change packages are told from all others by their name."""

from pathlib import Path

from entrypoint.host.host import Host
from entrypoint.host.machine import packages


def processes(root: Path, *names: str) -> Path:
    for number, name in enumerate(names, 1):
        place = root / str(number)
        place.mkdir(parents=True)
        (place / "comm").write_text(f"{name}\n")
    (root / "self").mkdir()
    (root / "self/comm").write_text("dpkg\n")
    (root / "99").mkdir()  # one that has just ended
    return root


def test_package_programs_are_found_once_each_and_others_are_not(tmp_path: Path) -> None:
    found = packages.at_work(processes(tmp_path, "dpkg", "apt-get", "dpkg", "apt-cacher-ng", "dockerd"))
    assert found == ("apt-get", "dpkg")


def test_a_reboot_is_wanted_where_the_file_says_so(tmp_path: Path) -> None:
    assert not packages.wants_reboot(Host(tmp_path))
    (tmp_path / "run").mkdir()
    (tmp_path / packages.REBOOT[1:]).touch()
    assert packages.wants_reboot(Host(tmp_path))
