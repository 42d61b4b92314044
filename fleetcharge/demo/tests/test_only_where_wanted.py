"""The simulated city is no part of a production system, and is part of `make run`."""

import os
import subprocess
import sys

import pytest

from fleetcharge.embedded.home import CHECKOUT
from fleetcharge.embedded.run import Address, _demo_env, process_specs

ELSEWHERE = {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0"}


def commands(**env: str) -> str:
    """`manage.py help` of a system on other engines; asks no database."""
    clean = {key: value for key, value in os.environ.items() if key not in {"FLEETCHARGE_DEMO", *ELSEWHERE}}
    argv = [sys.executable, "manage.py", "help", "--commands"]
    return subprocess.run(argv, cwd=CHECKOUT, env={**clean, **ELSEWHERE, **env}, capture_output=True, text=True).stdout


@pytest.mark.parametrize(("env", "is_there"), [({}, False), ({"FLEETCHARGE_DEMO": "1"}, True)])
def test_on_engines_of_its_own_the_demo_is_there_only_when_asked_for(env: dict[str, str], is_there: bool) -> None:
    listed = commands(**env).split()
    assert "import_stations" in listed
    assert ("seed_demo" in listed, "run_demo_city" in listed) == (is_there, is_there)


@pytest.mark.parametrize(("said", "runs"), [(None, True), ("1", True), ("0", False)])
def test_make_run_tells_its_processes(monkeypatch: pytest.MonkeyPatch, tmp_path, said: str | None, runs: bool) -> None:
    """They see DATABASE_URL of the embedded engines, so the wish itself is handed on."""
    monkeypatch.delenv("FLEETCHARGE_DEMO", raising=False)
    if said is not None:
        monkeypatch.setenv("FLEETCHARGE_DEMO", said)
    address = Address("127.0.0.1", 8000, 8001)
    told = _demo_env(address)
    assert told["FLEETCHARGE_DEMO"] == ("1" if runs else "0")
    assert ("demo" in {spec.name for spec in process_specs(address, tmp_path, told)}) is runs
