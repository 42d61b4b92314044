"""Messages that decide about a session and break their schema: kept raw before they are answered."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import orjson
import psycopg

from fleetcharge.lib.batching import Batcher
from fleetcharge.lib.db import AsyncDatabase
from ocpp_bridge import frames
from ocpp_bridge.station import call_hash

database = AsyncDatabase()

_KEEP = """
INSERT INTO ocpp_bridge_oddmessage
    (charger_id, protocol, message_id, action, payload, payload_hash, code, flaw, is_taken, received_at)
SELECT charger_id, protocol, message_id, action, payload::jsonb, decode(payload_hash, 'hex'), code, flaw, is_taken, at
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
            %s::boolean[], %s::timestamptz[])
    AS odd(charger_id, protocol, message_id, action, payload, payload_hash, code, flaw, is_taken, at)
ON CONFLICT (charger_id, payload_hash) DO NOTHING
"""


class Odd(NamedTuple):
    """One row of OddMessage."""

    charger_id: int
    protocol: str
    message_id: str
    action: str
    payload: str
    payload_hash: str
    code: str
    flaw: str
    is_taken: bool
    received_at: datetime


async def _write(messages: Sequence[Odd]) -> list[bool]:
    await database.fetch(_KEEP, [list(column) for column in zip(*messages, strict=True)])
    return [True] * len(messages)


writer: Batcher[Odd, bool] = Batcher(
    _write, name="odd-messages", max_rows=200, bisect_on=(psycopg.DataError, psycopg.IntegrityError)
)


async def keep(
    *,
    charger_id: int,
    protocol: str,
    call: frames.Call,
    flaw: tuple[str, str],
    is_taken: bool,
    received_at: datetime,
) -> None:
    """Return once the raw payload is committed; the same payload is kept once."""
    await writer.submit(
        Odd(
            charger_id,
            protocol,
            str(call.message_id),
            call.action[:40],
            orjson.dumps(call.payload).decode(),
            call_hash(call),
            flaw[0],
            flaw[1][:255],
            is_taken,
            received_at,
        )
    )
