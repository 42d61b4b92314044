"""Keeps what was learnt about a network's truthfulness, each asking once, and its score beside the network."""

from datetime import datetime

from django.db import transaction
from django.db.models import Count, Q

from stations import truth
from stations.models import Connector, CPOCommand, ExternalRef, Source, StatusChange
from stations.registry_models import StatusProof

KINDS = {CPOCommand.Kind.RESERVE_NOW: "reservation", CPOCommand.Kind.START_SESSION: "start"}


@transaction.atomic
def note_proof(*, connector_id: int, key: str, asked_at: datetime, state: str, reason: str, at: datetime) -> bool:
    """A plug was asked for at `asked_at` and this was the answer; False when it proves nothing or is known.

    `key` names the asking (`reservation:<reservation_key>`, `start:<start_key>`).
    """
    connector = Connector.objects.select_related("evse__location").get(pk=connector_id)
    was_true = truth.judge(shown=shown_at(connector, asked_at), state=state, reason=reason)
    if was_true is None:
        return False
    source_id = connector.evse.location.source_id
    _, is_new = StatusProof.objects.get_or_create(
        source_id=source_id, key=key[:80],
        defaults={"connector": connector, "was_true": was_true, "why": reason[:120], "at": at},
    )  # fmt: skip
    if is_new:
        _score(source_id, at)
    return is_new


def note_command(command: CPOCommand, *, reason: str, at: datetime) -> None:
    """The result of a command that asked for a plug."""
    name = KINDS.get(CPOCommand.Kind(command.kind))
    connector_id = _connector_of(command) if name else None
    if connector_id is not None:
        note_proof(
            connector_id=connector_id, key=f"{name}:{command.reservation_key}", asked_at=command.created_at,
            state=command.state, reason=reason, at=at,
        )  # fmt: skip


def shown_at(connector: Connector, at: datetime) -> str:
    """The status we showed at that moment, as far as its history goes back."""
    if connector.status_since <= at:
        return connector.status
    before = StatusChange.objects.filter(connector=connector, at__lte=at).order_by("-at", "-pk").first()
    return before.new if before else Connector.Status.UNKNOWN


def _connector_of(command: CPOCommand) -> int | None:
    where = command.request
    place, unit = where.get("location_id"), where.get("evse_uid")
    if not (place and unit):
        return None
    owners = command.source.parties.values_list("country_code", "party_id")
    keys = [f"{country}*{party}*{place}*{unit}".lower() for country, party in owners]
    evses = ExternalRef.objects.filter(
        source=command.source, kind=ExternalRef.Kind.EVSE, external_key__lower__in=keys
    ).values("object_id")
    return Connector.objects.filter(evse__in=evses).order_by("pk").values_list("pk", flat=True).first()


def _score(source_id: int, at: datetime) -> None:
    proofs = StatusProof.objects.filter(source_id=source_id, at__gte=StatusProof.counted_since(at))
    counts = proofs.aggregate(asked=Count("pk"), right=Count("pk", filter=Q(was_true=True)))
    Source.objects.filter(pk=source_id).update(truth_percent=truth.percent(counts["right"], counts["asked"]))
