"""Plugs in everybody's words lead to ours, and back; a plug that only looks alike is never taken for another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stations import plugs
from stations.models import Plug


@pytest.mark.parametrize(
    ("standard", "is_socket", "max_voltage_v", "plug"),
    [
        ("IEC_62196_T2_COMBO", False, 1000, "ccs2"),
        ("IEC_62196_T2", True, 230, "type2_socket"),
        ("IEC_62196_T2", False, 230, "type2_cable"),
        ("CHADEMO", False, 500, "chademo"),
        ("IEC_60309_2_single_16", True, 230, "bharat_ac001"),
        ("GBT_DC", False, 750, "gbt_dc"),
        ("GBT_DC", False, 72, "bharat_dc001"),
        ("GBT_DC", False, 0, "gbt_dc"),
        ("IS_17017_2_6", False, 120, "is17017_2_6"),
        ("NEMA_5_20", True, 120, "unknown"),
    ],
)
def test_words_of_ocpi(standard: str, is_socket: bool, max_voltage_v: int, plug: str) -> None:
    assert plugs.from_ocpi(standard, is_socket=is_socket, max_voltage_v=max_voltage_v) == plug


def test_every_word_leads_to_a_plug_we_have() -> None:
    known = set(Plug.values)
    assert set(plugs.FROM_OCPI.values()) | set(plugs.FROM_OCM.values()) | set(plugs.USUAL_POWER_W) <= known
    assert known - set(plugs.TO_OCPI) == {"unknown"}


@given(st.sampled_from(sorted(set(Plug.values) - {"unknown"})))
def test_there_and_back_is_the_same_plug(plug: str) -> None:
    voltage = 72 if plug == "bharat_dc001" else 400
    there = plugs.TO_OCPI[plug]
    assert plugs.from_ocpi(there, is_socket=plug == "type2_socket", max_voltage_v=voltage) == plug


@given(st.text(max_size=40), st.booleans(), st.integers(0, 2000))
def test_a_word_nobody_knows_is_unknown_and_never_an_error(word: str, is_socket: bool, voltage: int) -> None:
    plug = plugs.from_ocpi(word, is_socket=is_socket, max_voltage_v=voltage)
    assert plug == "unknown" or word in {*plugs.FROM_OCPI, "IEC_62196_T2"}


@given(st.integers(1, plugs.LOW_VOLTAGE_V))
def test_a_low_voltage_gun_is_never_offered_to_a_bus(voltage: int) -> None:
    assert plugs.from_ocpi("GBT_DC", is_socket=False, max_voltage_v=voltage) == "bharat_dc001"


@pytest.mark.parametrize(
    ("power_type", "watts"), [("DC", 12_000), ("AC_1_PHASE", 12_000), ("AC_2_PHASE", 24_000), ("AC_3_PHASE", 36_000)]
)
def test_power_of_volts_and_amperes(power_type: str, watts: int) -> None:
    assert plugs.power_w(power_type, 400, 30) == watts
