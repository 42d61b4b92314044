"""The installer: knows when there is nothing to do, and says little while there is."""

from pathlib import Path

import pytest

from fleetcharge.embedded.install import Progress, digest


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
