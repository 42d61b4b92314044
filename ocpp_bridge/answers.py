"""The answers we gave to stateful CALLs: a repeat within a day gets the same one, on any socket of any node."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import orjson
import psycopg

from fleetcharge.lib.db import AsyncDatabase
from ocpp_bridge import frames
from ocpp_bridge.models import AnsweredCall
from ocpp_bridge.station import call_hash

KEEP = timedelta(hours=24)

database = AsyncDatabase()
logger = logging.getLogger(__name__)

_FIND = """
SELECT answer FROM ocpp_bridge_answeredcall
WHERE charger_id = %s AND message_id = %s AND payload_hash = decode(%s, 'hex') AND received_at > %s
"""
_REMEMBER = """
INSERT INTO ocpp_bridge_answeredcall (charger_id, message_id, payload_hash, action, answer, received_at)
VALUES (%s, %s, decode(%s, 'hex'), %s, %s::jsonb, %s)
ON CONFLICT (charger_id, message_id, payload_hash)
DO UPDATE SET answer = EXCLUDED.answer, received_at = EXCLUDED.received_at
"""


async def once(
    charger_id: int, call: frames.Call, received_at: datetime, apply: Callable[[], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """The stored answer of this very CALL, else what `apply` answers, stored.

    `apply` must be idempotent itself (the services behind it are): a crash between its commit and our note is legal.
    """
    key = [charger_id, str(call.message_id), call_hash(call)]
    rows = await database.fetch(_FIND, [*key, received_at - KEEP])
    if rows:
        logger.info("charger %s repeats %s %s: answered from the store", charger_id, call.action, call.message_id)
        return dict(rows[0][0])
    answer = await apply()
    try:
        await database.fetch(_REMEMBER, [*key, call.action, orjson.dumps(answer).decode(), received_at])
    except psycopg.Error:
        logger.warning("could not note the answer to %s; the work itself is committed", call.action)
    return answer


def forget_old(now: datetime) -> int:
    """Delete what no charger will repeat any more."""
    return AnsweredCall.objects.filter(received_at__lt=now - KEEP).delete()[0]
