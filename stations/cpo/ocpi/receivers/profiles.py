"""Module `chargingprofiles`, sender: a CPO tells that what an EVSE will do has changed."""

from stations.cpo.ocpi.models import PeerDocument, RoamingSession
from stations.cpo.ocpi.objects.commands import ActiveProfileIn
from stations.cpo.ocpi.receivers.base import BAD_PARAMETERS, CLIENT_ERROR, Answer, Call, Refused, note_push, pick
from stations.services import roaming


def chargingprofiles(call: Call) -> Answer:
    """PUT /{session_id}: only of a session that we hold."""
    if len(call.path) != 1:
        raise Refused(BAD_PARAMETERS, "Give /{session_id}.")
    return pick(call, {"PUT": _put})


def _put(call: Call) -> Answer:
    note_push(call)
    profile = ActiveProfileIn.model_validate(call.body)
    held = next(iter(sessions_named(call)), None)
    if held is None:
        return Answer(None, CLIENT_ERROR, "Unknown session.", 404)
    roaming.keep_document(
        source=call.source, kind=PeerDocument.Kind.PROFILE, document_key=held.key, raw=call.body,
        updated_at=profile.start_date_time, at=call.at, reference=call.path[0],
    )  # fmt: skip
    return Answer()


def sessions_named(call: Call) -> list[RoamingSession]:
    """The address names no party: any of the peer's."""
    parties = call.source.parties.all()
    keys = (f"{party.country_code}*{party.party_id}*{call.path[0]}" for party in parties)
    return [held for each in keys if (held := roaming.find_session(call.source, each))]
