"""Our own JSON: one ping, `{"device", "pings": [...]}`, `{"pings": [{"device", ...}]}` or NDJSON.

Fields: ts (Unix seconds or milliseconds, or ISO 8601 with zone), lat, lon (degrees), acc (m), speed_kmh, course
(degrees), soc (percent of the traction battery), odo_km, charging (boolean, or "no", "ac", "dc", "unknown"), ign
(ignition) and seq (ignored). Without lat and lon a ping is a reading of the charge.
"""

import msgspec

from vehicles.decoders.instants import microseconds
from vehicles.fixes import Fix, Problem, charging_flags, is_device_id, placeless

MAX_PINGS = 1000


class Ping(msgspec.Struct, gc=False):
    """One ping as the wire has it."""

    ts: float | str
    lat: float | None = None
    lon: float | None = None
    device: str | int = ""
    acc: float | None = None
    speed_kmh: float | None = None
    course: float | None = None
    soc: float | None = None
    odo_km: float | None = None
    charging: bool | str | None = None
    ign: bool | int | None = None


class Envelope(msgspec.Struct, gc=False):
    """Many pings; `device` is the default for those that name none."""

    device: str | int = ""
    pings: list[Ping] | msgspec.UnsetType = msgspec.UNSET


class LooseEnvelope(msgspec.Struct, gc=False):
    """The same with each ping still raw, for when one of them is broken."""

    device: str | int = ""
    pings: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class BadBody(Exception):
    """The body as a whole cannot be read; `code` and the message tell why."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


_envelope = msgspec.json.Decoder(Envelope)
_loose_envelope = msgspec.json.Decoder(LooseEnvelope)
_ping = msgspec.json.Decoder(Ping)


def decode(body: bytes, device: str = "") -> list[Fix | Problem]:
    """Every ping of a JSON body, in its order; raises BadBody when nothing can be told apart.

    `device`: the only one it may speak of, when whoever brought it knows.
    """
    try:
        envelope = _envelope.decode(body)
        if envelope.pings is msgspec.UNSET:
            return [_fix(_ping.decode(body), device)]
        return _fixes(envelope.pings, envelope.device or device)
    except msgspec.ValidationError as error:
        return _decode_loosely(body, error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadBody("bad_json", f"The body is not JSON: {error}") from error


def decode_lines(body: bytes) -> list[Fix | Problem]:
    """Every ping of an NDJSON body, one a line; blank lines are skipped."""
    lines = [line for line in body.splitlines() if line.strip()]
    _check_count(len(lines))
    return [_decode_one(line, "") for line in lines]


def _decode_loosely(body: bytes, reason: msgspec.ValidationError) -> list[Fix | Problem]:
    """One broken ping must not cost the others: read each on its own."""
    try:
        envelope = _loose_envelope.decode(body)
    except msgspec.ValidationError as error:
        raise BadBody("invalid", f"Expected a ping or an object with `pings`: {error}") from error
    if envelope.pings is msgspec.UNSET:
        return [Problem("invalid", str(reason))]
    _check_count(len(envelope.pings))
    return [_decode_one(raw, envelope.device) for raw in envelope.pings]


def _decode_one(raw: bytes | msgspec.Raw, device: str | int) -> Fix | Problem:
    try:
        return _fix(_ping.decode(raw), device)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Problem("invalid", str(error))


def _fixes(pings: list[Ping], device: str | int) -> list[Fix | Problem]:
    _check_count(len(pings))
    name = device if isinstance(device, str) else str(device)
    is_known = is_device_id(name)
    return [_fix(ping, name, is_known) for ping in pings]


def _check_count(count: int) -> None:
    if count > MAX_PINGS:
        raise BadBody("too_many", f"{count} pings in one request; at most {MAX_PINGS} are allowed.")


def _fix(ping: Ping, default: str | int, is_checked: bool = False) -> Fix | Problem:
    """`is_checked`: the default is the id of a device."""
    device = str(ping.device or default)
    if not (is_checked and not ping.device) and not is_device_id(device):
        return Problem("invalid", "`device` is missing, not printable or longer than 64 characters.")
    at_us = microseconds(ping.ts)
    if at_us is None:
        return Problem("invalid", "`ts` is neither Unix time nor ISO 8601 with a time zone.")
    # `within`, written out: this line is walked by every ping, and the calls would be a tenth of what one costs.
    soc, odo_km, speed, course, acc = ping.soc, ping.odo_km, ping.speed_kmh, ping.course, ping.acc
    soc = soc if soc is not None and 0 <= soc <= 100 else None
    odo_km = odo_km if odo_km is not None and 0 <= odo_km <= 10_000_000 else None
    is_charging = None if ping.charging is None else _is_charging(ping.charging)
    if ping.lat is None or ping.lon is None:
        return _without_place(ping, device, at_us, soc, is_charging)
    return Fix(
        device,
        at_us,
        ping.lat,
        ping.lon,
        speed if speed is not None and 0 <= speed <= 400 else None,
        course if course is not None and 0 <= course <= 360 else None,
        acc if acc is not None and 0 <= acc <= 30_000 else None,
        soc,
        None if odo_km is None else round(odo_km * 1000),
        is_charging,
        charging_flags(is_charging, False, None if ping.ign is None else bool(ping.ign)),
        "" if ping.soc is None or 1 <= ping.soc <= 100 else _warning(ping.soc),
    )


def _without_place(ping: Ping, device: str, at_us: int, soc: float | None, is_charging: bool | None) -> Fix | Problem:
    if soc is None or ping.lat is not ping.lon:
        return Problem("invalid", "`lat` and `lon` must be two numbers.")
    return placeless(device, at_us, soc, is_charging)


def _warning(soc: float) -> str:
    """A charge that is none, or that looks like a share of one where percent are meant."""
    if not 0 <= soc <= 100:
        return "soc_out_of_range"
    return "soc_may_be_a_fraction" if 0 < soc < 1 else ""


def _is_charging(value: bool | str) -> bool | None:
    if isinstance(value, str):
        return {"no": False, "ac": True, "dc": True}.get(value.lower())
    return value
