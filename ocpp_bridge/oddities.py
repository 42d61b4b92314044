"""Stateful messages that break their schema: kept raw before they are answered, and told to those who decide."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import psycopg

from billing.models import BillingException
from billing.services.exceptions import open_exception
from fleetcharge.lib.batching import Batcher
from fleetcharge.lib.db import AsyncDatabase
from ocpp_bridge import frames
from ocpp_bridge.recorder import hash_tag
from ocpp_bridge.redaction import redact_frame
from ocpp_bridge.station import call_hash
from ocpp_bridge.threads import in_database
from stations.models import Charger

MONEY = frozenset({"StartTransaction", "StopTransaction", "TransactionEvent"})
BEGINS = frozenset({"StartTransaction", "TransactionEvent Started"})
MAX_OPEN = 20  # of one charger; more of the same would only bury the rest

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
    """Return once the raw payload is committed; the same payload is kept once.

    A refused message of a transaction is a question to finance: what the charger meant is nowhere else.
    """
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
    if not is_taken and call.action in MONEY:
        await in_database(tell_finance, charger_id=charger_id, call=call, flaw=flaw, at=received_at)


def tell_finance(*, charger_id: int, call: frames.Call, flaw: tuple[str, str], at: datetime) -> bool:
    """Open one exception per payload, also when it is sent again after the decision; False: nothing to decide."""
    charger = Charger.objects.only("ocpp_identity", "organisation_id").get(pk=charger_id)
    told = BillingException.objects.filter(organisation_id=charger.organisation_id, reference__startswith=_of(charger))
    reference = f"{_of(charger)}{call_hash(call)}"
    if told.filter(reference=reference).exists() or told.open().count() >= MAX_OPEN:
        return False
    said = call.payload.get("eventType")
    what = f"{call.action} {said}" if isinstance(said, str) else call.action
    open_exception(
        organisation_id=charger.organisation_id,
        kind=BillingException.Kind.MISSING_START if what in BEGINS else BillingException.Kind.ORPHAN_STOP,
        reference=reference,
        title=f"{charger.ocpp_identity}: {what} could not be used",
        details={"charger": charger.ocpp_identity, "message_id": str(call.message_id), "flaw": flaw[1][:255]},
        at=at,
    )
    return True


def _of(charger: Charger) -> str:
    return f"odd/{charger.pk}/"


def shown(action: str, payload: dict[str, Any]) -> str:
    """The payload for people: tags as in the recorder, secrets taken out."""
    frame = redact_frame([frames.CALL, "", action, payload], hash_tag)
    return orjson.dumps(frame[3], option=orjson.OPT_INDENT_2).decode()
