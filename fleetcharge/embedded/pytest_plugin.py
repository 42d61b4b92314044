"""Gives a test run engines of its own: a throw-away cluster, gone afterwards; a running system is never touched.

Loaded with `-p` so that the environment is ready before pytest-django imports the settings. TEST_DATABASE_URL and
TEST_REDIS_URL name engines to use instead; DATABASE_URL and REDIS_URL are ignored, they may be somebody's real data.
Workers of one run share PostgreSQL, where each has a database; each has a Valkey of its own, whose channels know no
databases and whose keys bear ids that two test databases give alike.
"""

import atexit
import os
import shutil
import tempfile
import time
from pathlib import Path

from fleetcharge.embedded import provide_engines, release_engines
from fleetcharge.embedded.locks import FileLock

PREFIX = f"fleetcharge-test-{os.geteuid()}-"
OVERRIDES = {"TEST_DATABASE_URL": "DATABASE_URL", "TEST_REDIS_URL": "REDIS_URL"}


class TestCluster:
    """The folder and the engines of this run."""

    __test__ = False

    def __init__(self) -> None:
        sweep()
        self.var = Path(tempfile.mkdtemp(prefix=PREFIX))
        self.var.chmod(0o755)  # the engines may run under another uid; what is private inside is 0700
        self._claim = FileLock(self.var / "claim.lock")
        self._claim.share()

    def start(self) -> None:
        os.environ["FLEETCHARGE_VAR_DIR"] = str(self.var)
        os.environ["FLEETCHARGE_THROW_AWAY"] = "1"
        os.environ["FLEETCHARGE_DEMO"] = "1"  # its tests belong to ours
        for override, variable in OVERRIDES.items():
            os.environ.pop(variable, None)
            if url := os.environ.get(override):
                os.environ[variable] = url
        provide_engines()

    def remove(self) -> None:
        release_engines()
        shutil.rmtree(self.var, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of test runs that were killed; their engines ended with their lease."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        claim = FileLock(folder / "claim.lock")
        is_fresh = time.time() - folder.stat().st_mtime < 60  # perhaps not claimed yet
        if not is_fresh and claim.own():
            shutil.rmtree(folder, ignore_errors=True)
        claim.close()


def is_xdist_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


def start_own_valkey(worker: str) -> None:
    """In a folder below that of the run, which is removed with it."""
    var = Path(os.environ["FLEETCHARGE_VAR_DIR"]) / worker
    var.mkdir(exist_ok=True)
    var.chmod(0o755)
    os.environ["FLEETCHARGE_VAR_DIR"] = str(var)
    del os.environ["REDIS_URL"]
    provide_engines()


if not is_xdist_worker():
    _cluster = TestCluster()
    _cluster.start()
    atexit.register(_cluster.remove)  # also when a broken import keeps pytest from starting
elif not os.environ.get("TEST_REDIS_URL"):
    start_own_valkey(os.environ["PYTEST_XDIST_WORKER"])
    atexit.register(release_engines)
