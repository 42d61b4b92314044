"""How real chargers misbehave: each habit a named switch, and what it does to a call before it is queued."""

import copy
import json
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

CLOCK_AHEAD = timedelta(seconds=14)
CLOCK_FAR_AHEAD = timedelta(days=3)
DEAD_CLOCK = datetime(1970, 1, 1)
LATE_STOP = timedelta(seconds=48)
FOREIGN_TRANSACTION = 2_000_000_001
REGISTER = "Energy.Active.Import.Register"

Payload = dict[str, Any]


class Quirk(StrEnum):
    """The name is the switch; the text says what the charger does."""

    # What it says
    SEQ_NO_ZERO = "seq_no_zero"  # 2.x: seqNo is 0 in every TransactionEvent
    MIXED_UNITS = "mixed_units"  # kWh as long decimal text in samples, Wh without a unit at the end
    SIGNED_VALUES = "signed_values"  # a signed JSON text as one more sampled value
    TOTAL_AND_PHASES = "total_and_phases"  # the total register and one per phase in one message
    RELATIVE_METER_START = "relative_meter_start"  # meterStart 0 although the registers count for ever
    REGISTER_RESETS = "register_resets"  # every register begins at 0 with each session
    TRANSACTION_ID_ZERO = "transaction_id_zero"  # 1.6: samples and stop name transaction 0
    TRANSACTION_ID_MINUS_ONE = "transaction_id_minus_one"  # 1.6: the stop names transaction -1
    TRANSACTION_ID_FOREIGN = "transaction_id_foreign"  # 1.6: the stop names a transaction nobody gave it
    CLOCK_AHEAD = "clock_ahead"  # 14 seconds
    CLOCK_FAR_AHEAD = "clock_far_ahead"  # three days
    CLOCK_1970 = "clock_1970"  # the battery of the clock is empty
    NUMERIC_IDS = "numeric_ids"  # message ids "1", "2", ... from 1 again on every socket
    AVAILABLE_WHILE_CHARGING = "available_while_charging"
    STATUS_FLAPPING = "status_flapping"  # Available and Unavailable in turn while nobody is there
    NUMERIC_CONFIGURATION = "numeric_configuration"  # 1.6: values of GetConfiguration are numbers
    # When it says it
    STOP_LATE = "stop_late"  # after an outage the stop comes 48 s after the samples that follow it
    BOOT_MID_SESSION = "boot_mid_session"  # boots on every socket, also while a session runs
    NEVER_BOOTS = "never_boots"  # opens a socket and goes straight to its business
    NO_STOP_AFTER_POWER_LOSS = "no_stop_after_power_loss"
    REPEATS_ON_NEW_SOCKET = "repeats_on_new_socket"  # says again what was answered before the line broke
    DUPLICATE_FRAMES = "duplicate_frames"  # every frame twice
    # What it does not obey
    IGNORES_RESERVATIONS = "ignores_reservations"  # starts another tag on a reserved connector
    FORGETS_RESERVATIONS = "forgets_reservations"  # with every boot
    REJECTS_PROFILES = "rejects_profiles"
    ABSURD_COMPOSITE_SCHEDULE = "absurd_composite_schedule"  # limit -1 for 68 years
    ACCEPTS_BUT_NEVER_STARTS = "accepts_but_never_starts"  # remote starts
    # How it uses the line
    RAW_BYTE_PASSWORD = "raw_byte_password"  # decodes its hexadecimal key and sends the bytes
    HEX_PASSWORD = "hex_password"  # sends the key in capital digits
    WRONG_USER = "wrong_user"  # the Basic user is not the identity
    NO_SUBPROTOCOL = "no_subprotocol"  # offers none
    HALF_OPEN = "half_open"  # stops reading and writing, and keeps the line
    SLOW_READER = "slow_reader"  # reads for a moment every few seconds
    MALFORMED_FRAMES = "malformed_frames"  # now and then something that is no frame
    RESULT_FOR_UNKNOWN_ID = "result_for_unknown_id"  # answers what nobody asked


HARMLESS = (  # what the default city shows: odd, but every session stays right
    Quirk.MIXED_UNITS,
    Quirk.SEQ_NO_ZERO,
    Quirk.TOTAL_AND_PHASES,
    Quirk.CLOCK_AHEAD,
    Quirk.NUMERIC_IDS,
    Quirk.DUPLICATE_FRAMES,
    Quirk.REPEATS_ON_NEW_SOCKET,
    Quirk.RAW_BYTE_PASSWORD,
    Quirk.RESULT_FOR_UNKNOWN_ID,
)


def parse(names: Iterable[str]) -> set[Quirk]:
    """Raises ValueError for a name that is no quirk."""
    return {Quirk(name) for name in names}


def bend(quirks: Collection[Quirk], kind: str, payload: Payload, meter_start_wh: int) -> Payload:
    """The payload as this charger would say it; `kind` is that of the call, `meter_start_wh` of its session."""
    active = [change for quirk, change in _CHANGES if quirk in quirks]
    if not active:
        return payload
    bent = copy.deepcopy(payload)
    for change in active:
        change(kind, bent, meter_start_wh)
    return bent


def bend_reference(quirks: Collection[Quirk], kind: str, payload: Payload) -> Payload:
    """OCPP 1.6 only: another transaction id than the one it was given."""
    wrong = {
        Quirk.TRANSACTION_ID_ZERO: ({"meter", "stop"}, 0),
        Quirk.TRANSACTION_ID_MINUS_ONE: ({"stop"}, -1),
        Quirk.TRANSACTION_ID_FOREIGN: ({"stop"}, FOREIGN_TRANSACTION),
    }
    for quirk, (kinds, number) in wrong.items():
        if quirk in quirks and kind in kinds and "transactionId" in payload:
            return {**payload, "transactionId": number}
    return payload


# --- changes ------------------------------------------------------------------------------------------------------
def _samples(payload: Payload) -> list[list[Payload]]:
    moments = payload.get("meterValue") or payload.get("transactionData") or []
    return [moment["sampledValue"] for moment in moments]


def _registers(payload: Payload) -> list[Payload]:
    found = (sample for samples in _samples(payload) for sample in samples)
    return [sample for sample in found if sample.get("measurand", REGISTER) == REGISTER]


def _as(sample: Payload, value: int) -> Any:
    return str(value) if isinstance(sample["value"], str) else value


def _zero_seq_no(kind: str, payload: Payload, start_wh: int) -> None:
    if "seqNo" in payload:
        payload["seqNo"] = 0


def _mix_units(kind: str, payload: Payload, start_wh: int) -> None:
    if kind != "meter":
        for sample in _registers(payload):
            sample.pop("unit", None)
        return
    for sample in _registers(payload):
        kilo = int(sample["value"]) / 1000
        if isinstance(sample["value"], str):
            sample["value"], sample["unit"] = f"{kilo:.3f}0000000000004", "kWh"
        else:
            sample["value"], sample["unitOfMeasure"] = kilo, {"unit": "kWh"}


def _sign(kind: str, payload: Payload, start_wh: int) -> None:
    for samples, register in zip(_samples(payload), _registers(payload), strict=False):
        text = f'OCMF|{json.dumps({"FV": "1.0", "RD": [{"RV": str(register["value"])}]})}|{{"SD":"3045"}}'
        if isinstance(register["value"], str):
            samples.append({"value": text, "format": "SignedData", "measurand": REGISTER})
        else:
            register["signedMeterValue"] = {
                "signedMeterData": text[:2500], "signingMethod": "", "encodingMethod": "OCMF", "publicKey": "",
            }  # fmt: skip


def _split_phases(kind: str, payload: Payload, start_wh: int) -> None:
    for samples, register in zip(_samples(payload), _registers(payload), strict=False):
        third = int(float(register["value"])) // 3
        samples.extend({**register, "phase": phase, "value": _as(register, third)} for phase in ("L1", "L2", "L3"))


def _start_at_zero(kind: str, payload: Payload, start_wh: int) -> None:
    if "meterStart" in payload:
        payload["meterStart"] = 0


def _count_from_zero(kind: str, payload: Payload, start_wh: int) -> None:
    for key in ("meterStart", "meterStop"):
        if key in payload:
            payload[key] -= start_wh
    for sample in _registers(payload):
        sample["value"] = _as(sample, int(sample["value"]) - start_wh)


def _shift(kind: str, payload: Payload, start_wh: int, by: Callable[[datetime], datetime]) -> None:
    for holder in [payload, *(payload.get("meterValue") or []), *(payload.get("transactionData") or [])]:
        if "timestamp" in holder:
            at = by(datetime.fromisoformat(holder["timestamp"].replace("Z", "+00:00")))
            holder["timestamp"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _ahead(kind: str, payload: Payload, start_wh: int) -> None:
    _shift(kind, payload, start_wh, lambda at: at + CLOCK_AHEAD)


def _far_ahead(kind: str, payload: Payload, start_wh: int) -> None:
    _shift(kind, payload, start_wh, lambda at: at + CLOCK_FAR_AHEAD)


def _dead_clock(kind: str, payload: Payload, start_wh: int) -> None:
    _shift(kind, payload, start_wh, lambda at: DEAD_CLOCK.replace(tzinfo=at.tzinfo, second=at.second))


_CHANGES: tuple[tuple[Quirk, Callable[[str, Payload, int], None]], ...] = (
    (Quirk.SEQ_NO_ZERO, _zero_seq_no),
    (Quirk.REGISTER_RESETS, _count_from_zero),
    (Quirk.RELATIVE_METER_START, _start_at_zero),
    (Quirk.TOTAL_AND_PHASES, _split_phases),
    (Quirk.SIGNED_VALUES, _sign),
    (Quirk.MIXED_UNITS, _mix_units),
    (Quirk.CLOCK_AHEAD, _ahead),
    (Quirk.CLOCK_FAR_AHEAD, _far_ahead),
    (Quirk.CLOCK_1970, _dead_clock),
)
