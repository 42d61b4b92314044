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
    assert PREFIX in os.environ["FLEETCHARGE_VAR_DIR"]
    assert PREFIX in os.environ["DATABASE_URL"]


SAY = """
import os, sys
import fleetcharge.embedded.pytest_plugin
print(os.environ["DATABASE_URL"], os.environ["REDIS_URL"], os.environ["FLEETCHARGE_VAR_DIR"], flush=True)
sys.stdin.read()
"""


def started(**environment: str) -> "subprocess.Popen[str]":
    """A process that a test run would start, with its engines."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_XDIST", "TEST_"))}
    return subprocess.Popen(
        [sys.executable, "-c", SAY], cwd=CHECKOUT, env={**own, **environment}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def told(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def test_workers_share_postgres_and_no_valkey() -> None:
    """A message on a channel, or a key that bears an id, would reach the other worker's tests."""
    run = started()
    database, valkey, var = told(run)
    shared = {"DATABASE_URL": database, "REDIS_URL": valkey, "FLEETCHARGE_VAR_DIR": var}
    workers = [started(PYTEST_XDIST_WORKER=name, **shared) for name in ("gw0", "gw1")]
    try:
        found = [told(worker) for worker in workers]
        assert [each[0] for each in found] == [database] * 2
        assert len({valkey, *(each[1] for each in found)}) == 3
        assert [each[2] for each in found] == [f"{var}/gw0", f"{var}/gw1"]
    finally:
        for process in (*workers, run):
            process.communicate()
    wait_for(lambda: not processes_naming(var))
    assert not Path(var).exists()


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
