"""Calls that a charger answers later: sent once, kept with their result address, closed by result or deadline."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from pydantic import ValidationError

from fleetcharge.lib import crypto
from stations import services
from stations.cpo.base import PENDING, CommandReceipt, CPOError, CPOUnavailable
from stations.cpo.ocpi import pacing
from stations.cpo.ocpi.client import OCPIClient
from stations.cpo.ocpi.objects.commands import CommandResponseIn
from stations.cpo.ocpi.receivers.results import PURPOSE
from stations.models import CPOCommand, Source

FIRST_DEADLINE = timedelta(seconds=60)
GRACE_SECONDS = 5
UNREADABLE = frozenset({"not_ocpi", "too_large"})
ANSWER_SECONDS = 20.0
"""Somebody waits for this answer, and so do the commands behind it."""


@dataclass(frozen=True)
class Order:
    """One command on its way. `about` is our key for it; `in_query`: the result address goes into the URL."""

    source: Source
    kind: CPOCommand.Kind
    about: str
    method: str
    url: str
    body: dict[str, Any]
    session_ref: str = ""
    in_query: bool = False


def send(order: Order) -> CommandReceipt:
    """Ask the CPO. Raises CPOError when it cannot be asked or read; nothing is sent to a network that fails."""
    pacing.check_circuit(order.source)
    token = crypto.new_token(32)
    version = order.source.ocpi_version or "2.2.1"
    response_url = f"{settings.PUBLIC_BASE_URL}/ocpi/{version}/emsp/commands/{order.kind}/{token}"
    command = CPOCommand.objects.create(
        source=order.source, kind=order.kind, reservation_key=order.about, request=order.body,
        session_ref=order.session_ref, response_token_hash=crypto.keyed_hash(token, purpose=PURPOSE),
        deadline_at=timezone.now() + FIRST_DEADLINE,
    )  # fmt: skip
    answer = _ask(order, command, response_url)
    if answer.result == "TIMEOUT":  # 2.1.1 may answer so at once: a session may begin all the same
        _close(command, CPOCommand.State.TIMED_OUT, answer.model_dump(mode="json"))
        return CommandReceipt("timed_out", answer.result)
    if answer.result != "ACCEPTED":
        _close(command, CPOCommand.State.REJECTED, answer.model_dump(mode="json"))
        return CommandReceipt("rejected", answer.result[:120] or "no result")
    deadline = timezone.now() + timedelta(seconds=answer.timeout + GRACE_SECONDS)
    CPOCommand.objects.filter(pk=command.pk, state=CPOCommand.State.SENT).update(
        state=CPOCommand.State.CPO_ACCEPTED, response=answer.model_dump(mode="json"), deadline_at=deadline
    )  # the asynchronous result may already have come
    return PENDING


def _ask(order: Order, command: CPOCommand, response_url: str) -> CommandResponseIn:
    try:
        with OCPIClient(order.source, seconds=ANSWER_SECONDS) as client:
            return CommandResponseIn.model_validate(_call(client, order, response_url) or {})
    except ValidationError:
        _close(command, CPOCommand.State.FAILED, {"error": "not a CommandResponse"})
        unreadable = CPOError("not_ocpi", f"{order.source.name} answers a command in a form we cannot read.")
        count_failure(order.source, unreadable)
        raise unreadable from None
    except CPOError as error:
        _close(command, CPOCommand.State.FAILED, {"error": str(error)})
        count_failure(order.source, error)
        raise


def _call(client: OCPIClient, order: Order, response_url: str) -> Any:
    if order.in_query:
        return client.call(order.method, order.url, query={**order.body, "response_url": response_url})
    body = client.dialect.write("command", {**order.body, "response_url": response_url})
    return client.call(order.method, order.url, body=body)


def _close(command: CPOCommand, state: str, response: dict[str, Any]) -> None:
    """Unless the asynchronous result was faster."""
    waiting = CPOCommand.objects.filter(pk=command.pk, state=CPOCommand.State.SENT)
    waiting.update(state=state, response=response, answered_at=timezone.now())


def count_failure(source: Source, error: CPOError) -> None:
    """A call that finds nobody, or an answer nobody can read, counts like a failed poll, and brings the next poll
    forward to look again. A plain no of the network, in OCPI or HTTP 4xx, is no failure of its."""
    is_broken = error.code in UNREADABLE or error.code.startswith("http_5")
    if is_broken or isinstance(error, CPOUnavailable):
        services.source_failed(source_id=source.pk, error=str(error), code=error.code, at=timezone.now())
