"""Plugs in the words of others: OCPI 2.2.1 ConnectorType and Open Charge Map ids to our keys. Pure."""

UNKNOWN = "unknown"
LOW_VOLTAGE_V = 150  # Bharat DC-001 shares its plug with GB/T cars, but gives 48 to 120 V

FROM_OCPI = {
    "IEC_62196_T2_COMBO": "ccs2",
    "CHADEMO": "chademo",
    "IEC_60309_2_single_16": "bharat_ac001",
    "GBT_DC": "gbt_dc",
    "DOMESTIC_M": "is1293_15a",
    "DOMESTIC_D": "is1293_5a",
    "PANTOGRAPH_BOTTOM_UP": "pantograph_up",
    "MCS": "mcs",
    "IS_17017_2_6": "is17017_2_6",
    "IS_17017_2_7": "is17017_2_7",
}
TO_OCPI = {plug: standard for standard, plug in FROM_OCPI.items()} | {
    "type2_socket": "IEC_62196_T2",
    "type2_cable": "IEC_62196_T2",
    "bharat_dc001": "GBT_DC",
}
FROM_OCM = {
    33: "ccs2", 25: "type2_socket", 1036: "type2_cable", 2: "chademo", 34: "bharat_ac001", 16: "bharat_ac001",
    4: "bharat_ac001", 1040: "gbt_dc",
}  # fmt: skip
USUAL_POWER_W = {
    "ccs2": 30_000, "type2_socket": 7_400, "type2_cable": 7_400, "chademo": 50_000, "bharat_ac001": 3_300,
    "bharat_dc001": 15_000, "gbt_dc": 60_000, "is17017_2_6": 12_000, "is17017_2_7": 3_300, "is1293_15a": 3_300,
    "is1293_5a": 1_200,
}  # fmt: skip


def from_ocpi(standard: str, *, is_socket: bool, max_voltage_v: int) -> str:
    """Our key; `unknown` for a word nobody knows (it is kept beside)."""
    if standard == "IEC_62196_T2":
        return "type2_socket" if is_socket else "type2_cable"
    plug = FROM_OCPI.get(standard, UNKNOWN)
    is_light = 0 < max_voltage_v <= LOW_VOLTAGE_V
    return "bharat_dc001" if plug == "gbt_dc" and is_light else plug


def power_w(power_type: str, voltage_v: int, current_a: int) -> int:
    """OCPI 2.2.1: AC voltage is line to neutral, so three phases give 3 x V x A."""
    phases = {"AC_3_PHASE": 3, "AC_2_PHASE": 2, "AC_2_PHASE_SPLIT": 2}.get(power_type, 1)
    return phases * voltage_v * current_a
