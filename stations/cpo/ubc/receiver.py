"""What Beckn peers may call at ours: callbacks, believed by their signature, kept, acknowledged, applied once."""

import hashlib
import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import DataError, IntegrityError, transaction
from django.db.models import F

from stations.cpo.ubc import hearing, keys, signing, wire
from stations.cpo.ubc.models import UBCMessage, UBCNetwork, UBCRefusal
from stations.cpo.ubc.signing import BadSignature, Signature
from stations.cpo.ubc.wire import BadMessage
from stations.models import Source

logger = logging.getLogger(__name__)
CALLBACK_PREFIX = "on_"
MAX_AHEAD_SECONDS = 120


@dataclass(frozen=True)
class Ack:
    """Our answer; `order_id` is the order whose next message may go out now."""

    http: int = 200
    code: str = ""
    detail: str = ""
    order_id: int | None = None
    is_catalogue: bool = False
    wait_seconds: int = 0
    is_guess: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """The Ack or Nack of UBC 0.9; a Nack says which of our codes it is."""
        if not self.code:
            return {"message": {"ack": {"status": "ACK"}}}
        error = {"code": self.code, "message": self.detail}
        return {"message": {"ack": {"status": "NACK"}, "error": error}, "error": error}


def receive(slug: str, path: str, authorization: str, raw: bytes, now: datetime) -> Ack:
    """One callback: who, is it so, is it for us, have we had it; kept before it is acknowledged."""
    network = UBCNetwork.objects.select_related("source").filter(source__slug=slug).first()
    if network is None or network.source.state == Source.State.DISABLED:
        return Ack(404, "unknown_network", "There is no such network here.", is_guess=True)
    action = network.rules.action_of(path)
    if not action.startswith(CALLBACK_PREFIX):
        return Ack(404, "unknown_action", "We are a BAP and take callbacks only.", is_guess=True)
    try:
        signature = believe(network, authorization, raw, now)
    except BadSignature as refused:
        count(network, refused.code, str(refused), now)
        return Ack(401, refused.code, str(refused), is_guess=True, headers=_challenge(network))
    except keys.RegistryBusy as busy:
        count(network, "registry_busy", str(busy), now)
        return Ack(503, "registry_busy", str(busy), wait_seconds=keys.BUSY_SECONDS)
    try:
        return _take(network, action, signature, authorization, raw, now)
    except BadMessage as refused:
        count(network, refused.code, f"{signature.subscriber_id}: {refused}", now)
        return Ack(400, refused.code, str(refused))


def _challenge(network: UBCNetwork) -> dict[str, str]:
    return {"WWW-Authenticate": f'Signature realm="{network.subscriber_id}",headers="{signing.HEADERS}"'}


def believe(network: UBCNetwork, authorization: str, raw: bytes, now: datetime) -> Signature:
    """Who signed these bytes. Raises BadSignature; a key that does not fit is asked for anew, as it may be another."""
    signature = signing.read(authorization)
    signing.check_window(signature, now.timestamp())
    key = keys.public_key(network, signature.subscriber_id, signature.key_id, now=now)
    try:
        signing.verify(raw, signature, key)
    except BadSignature:
        anew = keys.public_key(network, signature.subscriber_id, signature.key_id, now=now, is_anew=True)
        if anew == key:
            raise
        signing.verify(raw, signature, anew)
    return signature


def _take(network: UBCNetwork, action: str, signature: Signature, authorization: str, raw: bytes, now: datetime) -> Ack:
    body = wire.parse(raw)
    context = wire.read_context(body, network.rules)
    _check_context(network, context, action, signature, now)
    message = _keep(network, context, signature, authorization, raw, now)
    if message is None:
        return Ack()  # we have had it: acknowledged again, and nothing more
    if action == "on_discover":
        return Ack(is_catalogue=True)
    return Ack(order_id=apply(message, body, network, now))


def _check_context(
    network: UBCNetwork, context: wire.Context, action: str, signature: Signature, now: datetime
) -> None:
    """It says what its address says, to us, in the name of whoever signed it."""
    if context.action != action:
        raise BadMessage("wrong_action", f"{context.action} was sent to {action}.")
    if context.domain and context.domain.rsplit(":", 1)[0] != network.rules.domain.rsplit(":", 1)[0]:
        raise BadMessage("wrong_domain", f"We speak {network.rules.domain}.")
    if context.bap_id.lower() != network.subscriber_id.lower():
        raise BadMessage("not_for_us", f"We are {network.subscriber_id}.")
    if context.bpp_id and context.bpp_id.lower() != signature.subscriber_id.lower():
        raise BadMessage("not_the_sender", f"{signature.subscriber_id} signs for {context.bpp_id}.")
    if context.at.timestamp() > now.timestamp() + MAX_AHEAD_SECONDS:
        raise BadMessage("from_the_future", "The message's timestamp lies in the future.")


def _keep(
    network: UBCNetwork, context: wire.Context, signature: Signature, authorization: str, raw: bytes, now: datetime
) -> UBCMessage | None:
    """The stored message; None when the very same one is there already (a replay, or a peer that repeats itself)."""
    try:
        with transaction.atomic():
            return UBCMessage.objects.create(
                network=network, direction=UBCMessage.Direction.IN, subscriber_id=signature.subscriber_id.lower(),
                action=context.action, transaction_id=context.transaction_id, message_id=context.message_id,
                digest=hashlib.blake2b(raw, digest_size=64).hexdigest(), raw=raw, authorization=authorization[:2000],
                at=context.at, received_at=now,
            )  # fmt: skip
    except IntegrityError:
        count(network, "repeated", f"{signature.subscriber_id}: {context.action} {context.message_id}", now)
        return None


def apply(message: UBCMessage, body: Any, network: UBCNetwork, now: datetime) -> int | None:
    """A kept callback into its order; the order's id when there is one. What cannot be used is named and counted."""
    try:
        result, order_id = hearing.apply_callback(
            message_id=message.pk, envelope=wire.understand(body, network.rules), now=now
        )
    except BadMessage as error:
        result, order_id = error.code, None
        logger.warning("%s: %s %s: %s", network.source.slug, message.action, message.message_id, error)
    except (ValueError, DataError) as error:
        result, order_id = "unusable", None
        logger.warning("%s: %s %s: %s", network.source.slug, message.action, message.message_id, error)
    if result:
        UBCMessage.objects.filter(pk=message.pk).update(applied_at=now, result=result[:40])
        count(network, result, f"{message.subscriber_id}: {message.action} {message.message_id}", now)
    return order_id


def count(network: UBCNetwork, code: str, detail: str, now: datetime) -> None:
    """One more refusal of this kind today."""
    row, _ = UBCRefusal.objects.get_or_create(
        network=network, code=code[:40], day=now.date(), defaults={"last_at": now}
    )
    plain = "".join(letter for letter in detail if letter.isprintable())[:255]
    UBCRefusal.objects.filter(pk=row.pk).update(count=F("count") + 1, last_at=now, last_detail=plain)
