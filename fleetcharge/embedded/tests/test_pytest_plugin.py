"""Test runs bring their own engines and clean up after each other, even after kill -9."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fleetcharge.embedded.home import CHECKOUT
from fleetcharge.embedded.locks import FileLock
from fleetcharge.embedded.pytest_plugin import PREFIX, sweep
from fleetcharge.embedded.tests.conftest import processes_naming, wait_for


def left_behind() -> Path:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    (folder / "claim.lock").touch()
    os.utime(folder, (time.time() - 3600,) * 2)
    return folder


def test_the_folder_of_a_killed_run_is_removed() -> None:
    folder = left_behind()
    sweep()
    assert not folder.exists()


def test_the_folder_of_a_live_run_stays() -> None:
    folder = left_behind()
    claim = FileLock(folder / "claim.lock")
    claim.share()
    sweep()
    assert folder.exists()
    claim.close()
    sweep()
    assert not folder.exists()


def test_this_run_has_engines_of_its_own() -> None:
    assert Path(os.environ["FLEETCHARGE_VAR_DIR"]).name.startswith(PREFIX)
    assert PREFIX in os.environ["DATABASE_URL"]


def test_the_engines_of_a_killed_run_end_by_themselves(tmp_path: Path) -> None:
    script = """
import os, time
import fleetcharge.embedded.pytest_plugin
print(os.environ["FLEETCHARGE_VAR_DIR"], flush=True)
time.sleep(60)
"""
    env = {key: value for key, value in os.environ.items() if key != "PYTEST_XDIST_WORKER"}
    run = subprocess.Popen([sys.executable, "-c", script], cwd=CHECKOUT, env=env, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    var = run.stdout.readline().strip()
    assert processes_naming(var)
    run.kill()
    run.wait()
    run.stdout.close()
    wait_for(lambda: not processes_naming(var))
