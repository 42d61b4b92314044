"""What meters said: appended in one statement per batch, together with the running figures of the sessions."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import orjson
import psycopg
from django.db import close_old_connections, connections

from billing.events import SessionMetered
from billing.services.pace import EVERY_SECONDS, Pace
from fleetcharge.lib.db import AsyncDatabase, in_one_line
from fleetcharge.lib.events import publish

ANNOUNCE_EVERY_SECONDS = 0.25
logger = logging.getLogger(__name__)
Figures = tuple[int, int, int, int | None, float | None]

# A few rows of a great table, always by their keys: a plan made while it was small and unknown would walk through it.
database = AsyncDatabase(
    settings={"enable_seqscan": "off", "enable_hashjoin": "off", "plan_cache_mode": "force_generic_plan"}
)


@dataclass(slots=True)
class MeterReading:
    """One sampled moment (OCPP MeterValues, TransactionEvent). `evse_number` is the connector id for OCPP 1.6.

    `transaction_ref` "" means the charger did not say: the session active there at that time is meant.
    `dedupe_key` is 32 hex digits over what a retry repeats. `sampled` is JSON (a list, or an orjson.Fragment of one).
    `interval_wh`: what came since the sample before, where the meter says it so. `sequence`: seqNo of OCPP 2.x.
    """

    charger_id: int
    evse_number: int
    transaction_ref: str
    at: datetime
    received_at: datetime
    energy_wh: int | None
    power_w: int | None
    soc_percent: float | None
    context: str
    sampled: object
    dedupe_key: str
    interval_wh: int | None = None
    sequence: int | None = None


# Everything in one statement is one transaction: a reading is never stored without its session knowing, nor doubled.
# Rows are inserted in key order so that two processes replaying one charger cannot deadlock. A reading without a
# transaction belongs to the session of that EVSE at that time, running or ended; Sample.Clock belongs to none. A
# register that says more than a megawatt moves no running figure, nor does a SoC of 0 after another: it is that of a
# vehicle that tells nothing (the end of the session looks at every sample). An ended session is only told that there
# is news of its time; one UPDATE for both, as the stop may commit meanwhile. Under load the figures move a few times a
# second only (pace.py), and at once where they begin.


def _moving(*, is_due: str, is_news: str) -> str:
    """What `inserted` says of each session, and the UPDATE of those that are due (active) or have news (ended)."""
    return f"""
newest AS (
    SELECT charger_id, transaction_ref, max(at) AS at, min(at) AS first_at,
           (array_agg(energy_wh ORDER BY at) FILTER (WHERE energy_wh IS NOT NULL))[1] AS first_energy_wh,
           (array_agg(energy_wh ORDER BY at DESC) FILTER (WHERE energy_wh IS NOT NULL))[1] AS energy_wh,
           (array_agg(power_w ORDER BY at DESC) FILTER (WHERE power_w IS NOT NULL))[1] AS power_w,
           (array_agg(soc_percent ORDER BY at) FILTER (WHERE soc_percent IS NOT NULL))[1] AS first_soc,
           (array_agg(soc_percent ORDER BY at DESC) FILTER (WHERE soc_percent IS NOT NULL))[1] AS soc_percent,
           COALESCE(sum(interval_wh), 0) AS interval_wh
    FROM inserted WHERE transaction_ref <> '' GROUP BY charger_id, transaction_ref
), updated AS (
    UPDATE billing_chargingsession s SET
        needs_revision = s.state = 'ended',
        metered_at = CASE s.state WHEN 'active' THEN n.at ELSE s.metered_at END,
        meter_start_wh = COALESCE(s.meter_start_wh, CASE s.state WHEN 'active' THEN n.first_energy_wh END),
        meter_last_wh = GREATEST(s.meter_last_wh, CASE
            WHEN s.state = 'active' AND n.energy_wh - COALESCE(s.meter_start_wh, n.first_energy_wh)
                 <= 334 * (EXTRACT(EPOCH FROM n.at - s.started_at) + 60) THEN n.energy_wh END),
        energy_wh = GREATEST(0, s.energy_wh, CASE
            WHEN s.state = 'active' AND n.energy_wh - COALESCE(s.meter_start_wh, n.first_energy_wh)
                 <= 334 * (EXTRACT(EPOCH FROM n.at - s.started_at) + 60)
            THEN n.energy_wh - COALESCE(s.meter_start_wh, n.first_energy_wh) END)
            + CASE WHEN s.state = 'active' AND n.energy_wh IS NULL
                        AND s.meter_last_wh IS NOT DISTINCT FROM s.meter_start_wh THEN n.interval_wh ELSE 0 END,
        power_w = CASE s.state WHEN 'active' THEN COALESCE(n.power_w, s.power_w) ELSE s.power_w END,
        soc_start_percent = COALESCE(s.soc_start_percent, CASE s.state WHEN 'active' THEN n.first_soc END),
        soc_percent = CASE s.state WHEN 'active' THEN COALESCE(NULLIF(n.soc_percent, 0), s.soc_percent, n.soc_percent)
                                   ELSE s.soc_percent END
    FROM newest n
    WHERE s.charger_id = n.charger_id AND s.transaction_ref = n.transaction_ref
      AND CASE s.state
          WHEN 'active' THEN s.metered_at IS NULL OR (s.metered_at <= n.at AND {is_due})
          WHEN 'ended' THEN {is_news}
          ELSE false END
    RETURNING s.id, s.connector_id, s.energy_wh, s.power_w, s.soc_percent, s.state
)
"""  # noqa: S608 (our own words)


_DUE = """
(COALESCE(n.charger_id = ANY(%(due)s::bigint[]), true)
 OR (s.meter_start_wh IS NULL AND n.first_energy_wh IS NOT NULL)
 OR (s.soc_start_percent IS NULL AND n.first_soc IS NOT NULL))
"""
_IS_NEWS = """
NOT s.needs_revision AND (s.is_stop_estimated OR n.first_at <= s.ended_at + interval '1 minute')
"""
_UPDATED = """(SELECT json_agg(json_build_array(id, connector_id, energy_wh, power_w, soc_percent))::text
               FROM updated WHERE state = 'active')"""

_WRITE = in_one_line(f"""
WITH input AS MATERIALIZED (
    SELECT r.charger_id, r.evse_number,
           CASE WHEN r.transaction_ref <> '' OR r.context = 'Sample.Clock' THEN r.transaction_ref ELSE COALESCE((
               SELECT s.transaction_ref FROM stations_evse e JOIN stations_connector c ON c.evse_id = e.id
               JOIN billing_chargingsession s ON s.connector_id = c.id
               WHERE e.charger_id = r.charger_id AND e.evse_number = r.evse_number AND s.charger_id = r.charger_id
                 AND s.started_at <= r.at AND (s.state = 'active' OR s.ended_at >= r.at)
               ORDER BY s.started_at DESC LIMIT 1), '') END AS transaction_ref,
           r.at, r.received_at, r.energy_wh, r.power_w, r.soc_percent, r.context, r.sampled,
           decode(r.dedupe_key, 'hex') AS dedupe_key, r.interval_wh, r.sequence
    FROM jsonb_to_recordset(%(readings)s::jsonb) AS r(
        charger_id bigint, evse_number smallint, transaction_ref text, at timestamptz, received_at timestamptz,
        energy_wh bigint, power_w integer, soc_percent double precision, context text, sampled jsonb, dedupe_key text,
        interval_wh bigint, sequence bigint)
), inserted AS (
    INSERT INTO billing_metervalue (charger_id, evse_number, transaction_ref, at, received_at, energy_wh, power_w,
                                    soc_percent, context, sampled, dedupe_key, interval_wh, sequence)
    SELECT * FROM input ORDER BY dedupe_key
    ON CONFLICT (dedupe_key) DO NOTHING
    RETURNING dedupe_key, charger_id, transaction_ref, at, energy_wh, power_w, soc_percent,
              CASE WHEN context <> 'Sample.Clock' THEN interval_wh END AS interval_wh
), {_moving(is_due=_DUE, is_news=_IS_NEWS)}
SELECT CASE WHEN (SELECT count(*) FROM inserted) < (SELECT count(*) FROM input)
            THEN ARRAY(SELECT encode(dedupe_key, 'hex') FROM inserted) END,
       {_UPDATED}
""")  # noqa: S608

# What was stored without its session being told. One that has ended since may have looked before that was committed.
_CATCH_UP = in_one_line(f"""
WITH inserted AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(readings)s::jsonb) AS r(
        charger_id bigint, transaction_ref text, at timestamptz, energy_wh bigint, power_w integer,
        soc_percent double precision, interval_wh bigint)
), {_moving(is_due="true", is_news="NOT s.needs_revision")}
SELECT {_UPDATED}
""")  # noqa: S608

# A sample that was there already, in another event: its seqNo is no gap.
_KEEP_NUMBERS = """
WITH kept AS (
    INSERT INTO billing_sessionmessage (charger_id, transaction_ref, kind, at, received_at, sequence, charging_state,
                                        trigger_reason, is_offline, dedupe_key)
    SELECT r.charger_id, r.transaction_ref, 'Updated', r.at, r.received_at, r.sequence, '', '', false,
           decode(md5(concat_ws('/', 'seqNo', r.charger_id, r.transaction_ref, r.sequence)), 'hex') AS number
    FROM jsonb_to_recordset(%s::jsonb) AS r(
        charger_id bigint, transaction_ref text, at timestamptz, received_at timestamptz, sequence bigint,
        dedupe_key text)
    WHERE NOT EXISTS (SELECT FROM billing_metervalue m
                      WHERE m.dedupe_key = decode(r.dedupe_key, 'hex') AND m.sequence = r.sequence)
    ORDER BY number
    ON CONFLICT (dedupe_key) DO NOTHING
    RETURNING charger_id, transaction_ref
)
UPDATE billing_chargingsession s SET needs_revision = true FROM kept k
WHERE s.charger_id = k.charger_id AND s.transaction_ref = k.transaction_ref AND s.state = 'ended'
RETURNING s.id
"""


async def write_meter_values(readings: Sequence[MeterReading]) -> list[bool]:
    """Commit many readings at once; True for each that is new. Sessions move forward in time only.

    Raises psycopg.Error when nothing was stored. SessionMetered follows from a thread, newest figures first.
    """
    due = _catching_up.pace.choose(readings, now=time.monotonic())
    [(inserted, updated)] = await database.fetch(_WRITE, _params(readings, due))
    if due is not None:
        _catching_up.keep(readings, due)
    if updated:
        _announcer.announce(orjson.loads(updated))
    if inserted is None:  # all of them; the list is only worth its parsing when there were repeats
        return [True] * len(readings)
    is_new = _first_of_each(readings, set(inserted))
    repeats = [row for row, is_first in zip(readings, is_new, strict=True) if not is_first and row.sequence is not None]
    if repeats:
        await database.fetch(_KEEP_NUMBERS, [orjson.dumps(repeats).decode()])
    return is_new


def _params(readings: Sequence[MeterReading], due: Sequence[int] | None) -> dict[str, str | None]:
    """As texts: by the types of its parameters the connection would prepare the statement more than once."""
    chargers = None if due is None else f"{{{','.join(map(str, due))}}}"
    return {"readings": orjson.dumps(readings).decode(), "due": chargers}


def _first_of_each(readings: Sequence[MeterReading], fresh: set[str]) -> list[bool]:
    """True for the reading that was stored; a twin in the same batch is a repeat."""
    answers = []
    for reading in readings:
        answers.append(reading.dedupe_key in fresh)
        fresh.discard(reading.dedupe_key)
    return answers


class _CatchingUp:
    """Tells sessions under load what their readings said, a few times a second."""

    def __init__(self) -> None:
        self.pace = Pace()
        self._task: asyncio.Task[None] | None = None

    def keep(self, readings: Sequence[MeterReading], due: Sequence[int]) -> None:
        self.pace.keep(readings, due, now=time.monotonic())
        loop = asyncio.get_running_loop()
        if self.pace and (self._task is None or self._task.done() or self._task.get_loop() is not loop):
            self._task = loop.create_task(self._run(), name="meters-catching-up")

    async def _run(self) -> None:
        while self.pace:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self._tell()
            except psycopg.Error as error:
                logger.warning("sessions cannot be told of their readings yet: %s", error)

    async def _tell(self) -> None:
        readings = self.pace.take(now=time.monotonic())
        try:
            [(updated,)] = await database.fetch(_CATCH_UP, {"readings": orjson.dumps(readings).decode()})
        except BaseException:
            self.pace.put_back(readings)
            raise
        if updated:
            _announcer.announce(orjson.loads(updated))

    async def close(self) -> None:
        """Tell what waits, once."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._task = None
        if self.pace:
            with contextlib.suppress(psycopg.Error):
                await self._tell()
        self.pace = Pace()  # tests use one database each


class _Announcer:
    """Publishes SessionMetered off the loop, at most every quarter of a second.

    The first figures leave at once; of those that follow too soon only the newest per session are kept. A replay storm
    so costs its writes and nothing else.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, Figures] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_closing = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metered")  # keeps its connection between batches

    def announce(self, figures: Sequence[Sequence[Any]]) -> None:
        self._waiting.update({row[0]: cast(Figures, tuple(row)) for row in figures})
        if self._task is None or self._task.done():
            self._is_closing = asyncio.Event()  # tests use one loop each
            self._task = asyncio.get_running_loop().create_task(self._publish())

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            readings, self._waiting = tuple(self._waiting.values()), {}
            await loop.run_in_executor(self._thread, _publish, SessionMetered(readings))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_closing.wait(), ANNOUNCE_EVERY_SECONDS)

    async def close(self) -> None:
        """Publish what waits and close the thread's database connection."""
        self._is_closing.set()
        if self._task is not None and not self._task.done():
            await self._task
        await asyncio.get_running_loop().run_in_executor(self._thread, connections.close_all)


def _publish(event: SessionMetered) -> None:
    close_old_connections()
    try:
        publish(event)
    finally:
        close_old_connections()


_catching_up = _CatchingUp()
_announcer = _Announcer()


async def close() -> None:
    """Finish and let go of the database (orderly shutdown, end of a test)."""
    await _catching_up.close()
    await _announcer.close()
    await database.close()
