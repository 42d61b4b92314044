"""The installer: knows when there is nothing to do, and says little while there is."""

import threading
from pathlib import Path

import pytest

from fleetcharge.embedded import install
from fleetcharge.embedded.install import Progress, digest
from fleetcharge.embedded.tests.conftest import wait_for


def test_a_changed_pin_in_an_included_file_is_noticed(tmp_path: Path) -> None:
    runtime, development = tmp_path / "requirements.txt", tmp_path / "requirements-dev.txt"
    runtime.write_text("Django==5.2.19\n")
    development.write_text("-r requirements.txt\npytest==9.2.0\n")
    before = digest(development)
    assert digest(development) == before
    runtime.write_text("Django==5.2.20\n")
    assert digest(development) != before


def test_pip_becomes_one_line_per_package(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    for line in (
        "Collecting Django==5.2.19 (from -r requirements.txt)",
        "  Downloading Django.whl (8 MB)",
        "Collecting x",
    ):
        progress.read(line)
    assert capsys.readouterr().out.splitlines() == ["    1  Django==5.2.19", "    2  x"]
    assert progress.tail[1] == "  Downloading Django.whl (8 MB)"


def progress_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_a_silent_pip_is_spoken_for_until_it_is_done_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(install, "say", lines.append)
    Progress()
    assert progress_threads() == [], "nothing is said before it begins"
    with Progress(silent_s=0.01):
        wait_for(lambda: len(lines) > 1)
        assert len(progress_threads()) == 1
    assert progress_threads() == []
    assert all(line.startswith("  ... ") for line in lines)


def test_the_thread_ends_also_when_the_install_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "say", lambda line: None)
    with pytest.raises(RuntimeError), Progress(silent_s=0.01):
        raise RuntimeError("no disk")
    assert progress_threads() == []
