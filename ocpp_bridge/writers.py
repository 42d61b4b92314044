"""The two hot doors to the database: many sockets, one commit, and no answer before it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import django.db
import orjson
import psycopg

from billing.services import meters
from billing.services.meters import MeterReading
from fleetcharge.lib.batching import Batcher
from ocpp_bridge.instants import parse_instant
from ocpp_bridge.metering import Sampled, normalise, normalise_odd
from ocpp_bridge.quirks import QuirkProfile
from ocpp_bridge.station import Promise, Unusable, digest
from ocpp_bridge.threads import in_database
from stations import services as stations
from stations.services import StatusReport

MAX_MOMENTS = 5_000
Place = tuple[int, int, str]  # charger, EVSE, transaction


async def _write_meters(messages: Sequence[list[MeterReading]]) -> list[bool]:
    """Every reading of every message in one statement; the messages are all answered after it."""
    await meters.write_meter_values([reading for message in messages for reading in message])
    return [True] * len(messages)


async def _write_statuses(reports: Sequence[StatusReport]) -> list[bool | None]:
    return await in_database(stations.report_statuses, reports)


meter_writer: Batcher[list[MeterReading], bool] = Batcher(
    _write_meters,
    name="meter-values",
    max_rows=1000,
    bisect_on=(psycopg.DataError, psycopg.IntegrityError),
    in_halves=True,
)
status_writer: Batcher[StatusReport, bool | None] = Batcher(
    _write_statuses, name="statuses", max_rows=500, bisect_on=(django.db.DataError, django.db.IntegrityError)
)


def readings_of(
    moments: object,
    *,
    charger_id: int,
    evse_number: int,
    transaction_ref: str,
    received_at: datetime,
    sequence: int | None = None,
    profile: QuirkProfile | None = None,
    base_wh: int = 0,
) -> list[MeterReading]:
    """The meterValue list of any message as rows; raises Unusable when it is no list of sampled moments.

    `base_wh` is added to registers that count from the start of their session (a quirk).
    """
    if not isinstance(moments, list) or len(moments) > MAX_MOMENTS:
        raise Unusable("meterValue: expected a list")
    told = charger_id, evse_number, transaction_ref, received_at, profile
    readings = [_reading(moment, *told) for moment in moments]
    if sequence is not None or base_wh:
        for reading in readings:
            reading.sequence = sequence
            reading.energy_wh = None if reading.energy_wh is None else reading.energy_wh + base_wh
    return readings


def _reading(
    moment: Any,
    charger_id: int,
    evse_number: int,
    reference: str,
    received_at: datetime,
    profile: QuirkProfile | None,
) -> MeterReading:
    samples = moment.get("sampledValue") if isinstance(moment, dict) else None
    if not isinstance(samples, list):
        raise Unusable("meterValue: expected timestamp and sampledValue")
    raw_at = moment.get("timestamp")
    if profile is None:
        at, said = parse_instant(raw_at, received_at=received_at), normalise(samples)
    else:
        at = parse_instant(raw_at, received_at=received_at, ahead=profile.clock_ahead)
        said = normalise_odd(samples, profile)
    sampled = orjson.dumps(samples, option=orjson.OPT_SORT_KEYS)
    return reading_of((charger_id, evse_number, reference), raw_at, at, received_at, sampled, said)


def reading_of(
    place: Place, raw_at: object, at: datetime, received_at: datetime, sampled: bytes, said: Sampled
) -> MeterReading:
    """One row; `sampled` is JSON with sorted keys, `raw_at` what the charger's clock said, to tell repeats."""
    charger_id, evse_number, reference = place
    energy_wh, power_w, soc_percent, context, interval_wh = said
    one_text = orjson.Fragment(sampled)  # to store and to hash
    return MeterReading(
        charger_id,
        evse_number,
        reference,
        at,
        received_at,
        energy_wh,
        power_w,
        soc_percent,
        context,
        one_text,
        # a transaction's sample is the same whatever plug we took it for meanwhile
        digest(charger_id, 0 if reference else evse_number, reference, raw_at, one_text),
        interval_wh,
    )


async def store_status(report: StatusReport) -> None:
    """Return once it is committed; raises Unusable for one plug more than any charger has."""
    if await status_writer.submit(report) is None:
        raise Unusable("connectorId: this charger has too many plugs to have another")


async def store_readings(readings: list[MeterReading]) -> None:
    """Return once every reading is committed."""
    if readings:
        await meter_writer.submit(readings)


def offer_readings(readings: list[MeterReading], answer: dict[str, Any]) -> Promise:
    """The answer once every reading is committed; None when the writer is full."""
    if not readings:
        return answer, None
    written = meter_writer.offer(readings)
    return None if written is None else (answer, written)
