"""`/ingest/traccar`: a Traccar server forwards what its devices report; `forward.header` carries our API key."""

from urllib.parse import parse_qsl

from fleetcharge.lib.asgi import Receive, Scope, Send, send_json
from vehicles.decoders.osmand import number
from vehicles.decoders.traccar_forward import ChargeAttribute, decode
from vehicles.doors.report import report
from vehicles.doors.requests import Refused, answer_failure, body_of, sender_of
from vehicles.intake import accept


async def forwarded(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers 200 with a report also when positions were refused: Traccar would send the same again ten times."""
    try:
        if scope["method"] != "POST":
            raise Refused(405, "method_not_allowed", "Traccar forwards with POST.")
        sender = await sender_of(scope)
        body = await body_of(scope, receive)
        verdicts = await accept(decode(body, charge_attribute(scope)), sender.organisation_id, body)
    except Exception as error:
        return await answer_failure(send, error)
    return await send_json(send, 200, report(verdicts))


def charge_attribute(scope: Scope) -> ChargeAttribute:
    """`?soc=io113&soc_scale=0.5` of the address that Traccar was given; raises Refused."""
    query = dict(parse_qsl(scope["query_string"].decode("utf-8", "replace")))
    scale = number(query.get("soc_scale", "1"))
    if not scale:
        raise Refused(400, "invalid", "`soc_scale` must be a number other than 0.")
    return ChargeAttribute(query.get("soc") or "soc", scale)
