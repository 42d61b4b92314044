"""AIS-140 packets in the dialects makers really send; imports no Django.

Read by anchors (IMEI of 15 digits, date, N/S, E/W), never by index: makers drop fields, split dates and glue headers.
There is no state of charge in them. The checksum after `*` is not compared: makers count it over different parts, and
TCP has its own. Sources: Traccar's ItsProtocolDecoder and the QuecPython AIS-140 reference.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple

from vehicles.decoders.instants import to_microseconds
from vehicles.fixes import NO_FIX, Fix, Problem, charging_flags, within

MAX_CHARACTERS = 1024
LOGIN, HEARTBEAT, HEALTH, POSITION, EMERGENCY = "login", "heartbeat", "health", "position", "emergency"
SOS, SOS_OVER, TAMPER, MAINS_OFF, WIRE_CUT = "emergency", "emergency_over", "tamper", "mains_off", "wire_cut"

_ALARM_OF_TYPE = {"EA": SOS, "TA": TAMPER, "BD": MAINS_OFF, "WD": WIRE_CUT}
_ALARM_OF_ALERT = {3: MAINS_OFF, 9: TAMPER, 10: SOS, 11: SOS_OVER, 16: WIRE_CUT}
_IMEI = re.compile(r"\d{15}")
_SPLIT_DATE = re.compile(r"\d\d,\d\d,\d{4},\d\d,\d\d,\d\d")
_PLATE = re.compile(r"[A-Z]{2}\d{1,2}[A-Z]{0,3}\d{3,4}")
_NO_REGISTRATION = re.compile(r"|N\.?A[\d.]*|[0.]+|\d{15}")


class Packet(NamedTuple):
    """What one packet says. `fix`: the ping, why it is none, or None for packets that never carry one."""

    kind: str
    imei: str = ""
    registration: str = ""
    fix: Fix | Problem | None = None
    alarm: str = ""
    at_us: int | None = None
    is_history: bool = False


def decode(line: str) -> Packet | Problem:
    """One packet, or why it is none."""
    if not line.startswith("$") or len(line) > MAX_CHARACTERS or not line.isascii() or not line.isprintable():
        return Problem("not_ais140", "A packet is a line of ASCII that begins with $ and has at most 1,024 characters.")
    fields = [field.strip() for field in line[1:].partition("*")[0].split(",")]
    if "HBT" in fields[:2]:
        return Packet(HEARTBEAT)
    at = next((index for index, field in enumerate(fields) if _IMEI.fullmatch(field)), None)
    if at is None:
        return Problem("no_imei", "No field of the packet is an IMEI of 15 digits.")
    if any(field in ("EMR", "SEM") for field in fields[:at]):
        return _emergency(fields, at)
    when = _when(fields, at + 1)
    if when is None:
        return _without_date(fields, at)
    return _position(fields, at, when)


class _When(NamedTuple):
    """Where the date begins and what follows the time begins; None as instant when it is all zeros or no date."""

    start: int
    end: int
    at_us: int | None


def _when(fields: list[str], start: int) -> _When | None:
    """The first date at or after `start`: DDMMYYYY and HHMMSS, with a short year, glued together, or in six fields."""
    for index in range(start, min(start + 6, len(fields))):
        field, following = fields[index], fields[index + 1] if index + 1 < len(fields) else ""
        if _is_digits(field, 14):
            return _When(index, index + 1, _instant(field[:8], field[8:]))
        if _is_digits(following, 6) and (_is_digits(field, 8) or _is_digits(field, 6)):
            return _When(index, index + 2, _instant(field, following))
        six = ",".join(fields[index : index + 6])
        if _SPLIT_DATE.fullmatch(six):
            digits = six.replace(",", "")
            return _When(index, index + 6, _instant(digits[:8], digits[8:]))
    return None


def _is_digits(text: str, count: int) -> bool:
    return len(text) == count and text.isdigit()


def _instant(day: str, time: str) -> int | None:
    try:
        at = datetime.strptime(day + time, "%d%m%Y%H%M%S" if len(day) == 8 else "%d%m%y%H%M%S")
    except ValueError:
        return None
    return to_microseconds(at.replace(tzinfo=UTC))


def _without_date(fields: list[str], at: int) -> Packet:
    """Logins have a registration or a place behind or before the IMEI, health packets only figures."""
    following = [field for field in fields[at + 1 :] if field]
    is_health = len(following) >= 4 and all(_number(field) is not None for field in following)
    if is_health:
        return Packet(HEALTH, fields[at])
    registration = next((field for field in fields if _PLATE.fullmatch(field)), "")
    return Packet(LOGIN, fields[at], registration)


def _emergency(fields: list[str], at: int) -> Packet:
    """EMR when the button was pressed, SEM when it is over; NM is live, SP was stored. It counts without a fix and
    without a date."""
    imei, is_over = fields[at], "SEM" in fields[:at]
    alarm = SOS_OVER if is_over else SOS
    when = _when(fields, at + 1)
    compass = _compass(fields, at + 1)
    fix: Fix | Problem = NO_FIX
    if when and when.at_us is not None and compass is not None and fields[when.end : when.end + 1] == ["A"]:
        # altitude comes before speed here
        fix = _fix(fields, imei, when.at_us, compass, speed_at=compass + 4, heading_at=None)
    registration = _registration(fields[compass + 7]) if compass and len(fields) > compass + 7 else ""
    is_history = fields[at + 1 : at + 2] == ["SP"]
    return Packet(EMERGENCY, imei, registration, fix, alarm, when.at_us if when else None, is_history)


def _position(fields: list[str], at: int, when: _When) -> Packet:
    imei, head = fields[at], fields[:at]
    compass = _compass(fields, when.end)
    kind = next((field for field in reversed(head) if len(field) == 2 and field.isalpha() and field.isupper()), "")
    alert = next((int(field) for field in reversed(head[1:]) if field.isdigit() and len(field) <= 2), 0)
    says_emergency = compass is not None and fields[compass + 14 : compass + 15] == ["1"]
    alarm = SOS if says_emergency else _ALARM_OF_TYPE.get(kind) or _ALARM_OF_ALERT.get(alert, "")
    fix: Fix | Problem = NO_FIX
    if compass is not None and when.at_us is not None and _has_fix(fields, at, when, compass):
        fix = _fix(fields, imei, when.at_us, compass, speed_at=compass + 3, heading_at=compass + 4)
        ignition = {"0": False, "1": True}.get(_field(fields, compass + 10))
        if isinstance(fix, Fix):
            fix.flags |= charging_flags(None, ignition=ignition)
    registration = _registration(fields[at + 1])
    return Packet(POSITION, imei, registration, fix, alarm, when.at_us, "H" in head)


def _compass(fields: list[str], start: int) -> int | None:
    """Where N or S stands, with E or W two fields behind it."""
    for index in range(start + 1, len(fields) - 2):
        if fields[index] in ("N", "S") and fields[index + 2] in ("E", "W"):
            return index
    return None


def _has_fix(fields: list[str], at: int, when: _When, compass: int) -> bool:
    """The flag stands before the date or behind the time; packets without one are believed if they have a place."""
    before, behind = fields[when.start - 1], fields[when.end]
    if when.start - 1 > at and before in ("0", "1"):
        return before == "1"
    if when.end < compass - 1 and behind in ("0", "1", "A", "V"):
        return behind in ("1", "A")
    return True


def _fix(
    fields: list[str], imei: str, at_us: int, compass: int, *, speed_at: int, heading_at: int | None
) -> Fix | Problem:
    latitude, longitude = _number(fields[compass - 1]), _number(fields[compass + 1])
    if latitude is None or longitude is None:
        return Problem("invalid", "The packet's position is not a number.")
    return Fix(
        device=imei,
        at_us=at_us,
        latitude=-latitude if fields[compass] == "S" else latitude,
        longitude=-longitude if fields[compass + 2] == "W" else longitude,
        speed_kmh=within(_number(_field(fields, speed_at)), 0, 400),
        heading_deg=None if heading_at is None else within(_number(_field(fields, heading_at)), 0, 360),
    )


def _field(fields: list[str], index: int) -> str:
    return fields[index] if index < len(fields) else ""


def _number(text: str) -> float | None:
    try:
        return float(text) if text.replace(".", "", 1).replace("-", "", 1).isdigit() else None
    except ValueError:
        return None


def _registration(text: str) -> str:
    """The plate, or '' for what makers write when they were told none."""
    return "" if _NO_REGISTRATION.fullmatch(text) or not any(map(str.isalpha, text)) else text
