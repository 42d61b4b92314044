"""Module `sessions`, receiver: what our vehicles draw at a CPO, while it happens."""

from stations.cpo.ocpi.objects.base import key
from stations.cpo.ocpi.objects.sessions import SessionIn
from stations.cpo.ocpi.receivers.base import CLIENT_ERROR, Answer, Call, note_push, owned_path, pick, same, stamp
from stations.services import roaming


def sessions(call: Call) -> Answer:
    """No sub-paths: a session is always whole."""
    owned_path(call, "session_id")
    if call.method in {"PUT", "PATCH"}:
        note_push(call)
    return pick(call, {"GET": _show, "PUT": _put, "PATCH": _patch})


def _show(call: Call) -> Answer:
    held = roaming.find_session(call.source, key(*call.path))
    return Answer(call.write("session", held.raw)) if held else Answer(None, CLIENT_ERROR, "Unknown session.", 404)


def _put(call: Call) -> Answer:
    raw = call.read("session")
    session = SessionIn.model_validate(raw)
    same((session.country_code, session.party_id, session.id), call.path)
    _, outcome = roaming.put_session(source=call.source, session=session, raw=raw, at=call.at)
    return Answer(http=201 if outcome == roaming.NEW else 200)


def _patch(call: Call) -> Answer:
    """Unknown sessions are fetched whole from the CPO meanwhile."""
    stamp(call)
    patch = call.read("session")
    done = roaming.patch_session(source=call.source, session_key=key(*call.path), patch=patch, at=call.at)
    if done is None:
        return Answer(None, CLIENT_ERROR, "Unknown session; we will fetch it.", 404, fetch=f"session:{call.path[2]}")
    return Answer()
