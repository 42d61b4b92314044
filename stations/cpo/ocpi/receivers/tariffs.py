"""Module `tariffs`, receiver: price lists that their CPO pushes, kept in versions."""

from stations import services
from stations.cpo.ocpi.outgoing import tariff_out
from stations.cpo.ocpi.receivers.base import (
    CLIENT_ERROR,
    Answer,
    Call,
    Handler,
    note_push,
    owned_path,
    pick,
    same,
    stamp,
)
from stations.cpo.ocpi.taking import take_tariff
from stations.models import Tariff


def tariffs(call: Call) -> Answer:
    """PATCH exists in 2.1.1 only."""
    owned_path(call, "tariff_id")
    verbs: dict[str, Handler] = {"GET": _show, "PUT": _put, "DELETE": _withdraw}
    if call.method != "GET":
        note_push(call)
    return pick(call, verbs | ({"PATCH": _patch} if call.dialect.patches_tariffs else {}))


def _put(call: Call) -> Answer:
    same((str(call.body.get("id", "")) if isinstance(call.body, dict) else "",), call.path[2:])
    is_new = _held(call) is None
    take_tariff(call.source, call.read("tariff"), call.at)
    return Answer(http=201 if is_new else 200)


def _patch(call: Call) -> Answer:
    """Only what is named changes; older news is answered and ignored."""
    stamp(call)
    held = _held(call)
    if held is None:
        return _unknown()
    take_tariff(call.source, {**tariff_out(held, call.path[:2]), **call.read("tariff")}, call.at)
    return Answer()


def _withdraw(call: Call) -> Answer:
    services.withdraw_tariff(source=call.source, external_id=call.path[2], at=call.at)
    return Answer()


def _show(call: Call) -> Answer:
    held = _held(call)
    return Answer(call.write("tariff", tariff_out(held, call.path[:2]))) if held else _unknown()


def _held(call: Call) -> Tariff | None:
    current = Tariff.objects.filter(source=call.source, external_id__lower=call.path[2].lower(), valid_to=None)
    return current.first()


def _unknown() -> Answer:
    return Answer(None, CLIENT_ERROR, "Unknown tariff.", 404)
