"""Module `hubclientinfo`, receiver: who is connected behind a hub."""

from stations import services
from stations.cpo.ocpi.objects.base import exact_text
from stations.cpo.ocpi.objects.commands import ClientInfoIn
from stations.cpo.ocpi.receivers.base import BAD_PARAMETERS, CLIENT_ERROR, Answer, Call, Refused, pick, same
from stations.models import Party


def hubclientinfo(call: Call) -> Answer:
    """GET and PUT at /{country_code}/{party_id}."""
    if len(call.path) != 2:
        raise Refused(BAD_PARAMETERS, "Give /{country_code}/{party_id}.")
    return pick(call, {"GET": _show, "PUT": _put})


def _put(call: Call) -> Answer:
    info = ClientInfoIn.model_validate(call.body)
    same((info.country_code, info.party_id), call.path)
    is_new = services.note_client(
        source=call.source, country_code=info.country_code, party_id=info.party_id, role=info.role,
        status=info.status, at=info.last_updated,
    )  # fmt: skip
    return Answer(http=201 if is_new else 200)


def _show(call: Call) -> Answer:
    country_code, party_id = (part.upper() for part in call.path)
    party = Party.objects.filter(source=call.source, country_code=country_code, party_id=party_id).first()
    if party is None or party.hub_status_at is None:
        return Answer(None, CLIENT_ERROR, "Unknown party.", 404)
    return Answer(
        {
            "party_id": party.party_id,
            "country_code": party.country_code,
            "role": party.role,
            "status": party.hub_status,
            "last_updated": exact_text(party.hub_status_at),
        }
    )
