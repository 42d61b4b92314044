"""What `make test` hands to its workers, and that handing it over costs nothing."""

import socket

import pytest

from tests.units import unit_of

ADAPTERS = "tests/contract/adapters"


def test_a_unit_is_a_file() -> None:
    assert unit_of("billing/tests/test_gst.py::TestRounding::test_half[5]") == "billing/tests/test_gst.py"
    assert unit_of("tests/flows/ocpp/test_survives_kill.py::test_it") == "tests/flows/ocpp/test_survives_kill.py"


def test_one_running_system_serves_all_files_that_need_it() -> None:
    files = ("test_attacks", "test_control", "test_transport")
    assert {unit_of(f"tests/flows/ocpp/{file}.py::test_it[ocpp1.6]") for file in files} == {"tests/flows/ocpp"}


def test_a_kind_of_network_is_connected_once_for_all_files_of_its_contract() -> None:
    files = ("test_charging", "test_failing", "test_reading")
    units = [unit_of(f"{ADAPTERS}/{file}.py::test_it[{kind}]") for file in files for kind in ("ubc", "own-1.6")]
    assert units == [f"{ADAPTERS}[ubc]", f"{ADAPTERS}[own-1.6]"] * 3
    assert unit_of(f"{ADAPTERS}/test_reading.py::test_without_a_network") == f"{ADAPTERS}/test_reading.py"


def test_the_tally_of_reruns_waits_for_no_acknowledgement(pytestconfig: pytest.Config) -> None:
    """Linux puts it off by 40 ms, and every test asks twice."""
    tally = getattr(getattr(pytestconfig, "failures_db", None), "sock", None)
    if tally is None:
        pytest.skip("nothing is run again here")
    assert tally.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
