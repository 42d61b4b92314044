"""Versions and credentials: what any peer with a token may call."""

from django.conf import settings

from stations.cpo.base import CPOError
from stations.cpo.ocpi import registration
from stations.cpo.ocpi.dialects import DIALECTS
from stations.cpo.ocpi.receivers.base import (
    CALL_BACK_FAILED,
    NO_COMMON_VERSION,
    NO_ENDPOINTS,
    Answer,
    Call,
    Handler,
    Refused,
    pick,
)

CODES = {"no_version": NO_COMMON_VERSION, "no_endpoint": NO_ENDPOINTS}


def versions(call: Call) -> Answer:
    listed = [{"version": each, "url": f"{settings.PUBLIC_BASE_URL}/ocpi/{each}"} for each in DIALECTS]
    return pick(call, {"GET": lambda _: Answer(listed)})


def details(call: Call) -> Answer:
    """Endpoints of one version; 2.1.1 knows no sides."""
    base, dialect = f"{settings.PUBLIC_BASE_URL}/ocpi/{call.version}", call.dialect
    endpoints = [{"identifier": "credentials", "role": "SENDER", "url": f"{base}/credentials"}]
    endpoints += [
        {"identifier": module, "role": role, "url": f"{base}/emsp/{module}"}
        for module, role in dialect.modules.items()
        if module != "commands"  # we only send them: their results come to addresses of their own
    ]
    if not dialect.has_roles:
        endpoints = [{"identifier": each["identifier"], "url": each["url"]} for each in endpoints]
    return pick(call, {"GET": lambda _: Answer({"version": call.version, "endpoints": endpoints})})


def credentials(call: Call) -> Answer:
    """POST only before, PUT and DELETE only after a registration (HTTP 405 otherwise)."""
    is_registered = bool(call.source.endpoints)
    verbs: dict[str, Handler] = {"GET": _show}
    verbs |= {"PUT": _accept, "DELETE": _forget} if is_registered else {"POST": _accept}
    return pick(call, verbs)


def _show(call: Call) -> Answer:
    return Answer(registration.our_credentials(call.token, call.version))


def _forget(call: Call) -> Answer:
    registration.forget_peer(call.source, at=call.at)
    return Answer()


def _accept(call: Call) -> Answer:
    theirs = registration.read_credentials(call.body, call.version)
    try:
        token = registration.accept_peer(call.source, theirs, version=call.version, at=call.at)
    except CPOError as error:
        raise Refused(CODES.get(error.code, CALL_BACK_FAILED), str(error)) from None
    return Answer(registration.our_credentials(token, call.version))
