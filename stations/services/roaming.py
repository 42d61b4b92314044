"""What CPOs tell of our vehicles becomes rows: sessions grow, CDRs never change, documents are replaced."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
from django.db import IntegrityError, transaction
from django.utils import timezone

from fleetcharge.lib.events import publish
from stations.cpo.ocpi.models import CDRConflict, PeerDocument, RoamingCDR, RoamingSession, RoamingUse
from stations.cpo.ocpi.objects.base import as_utc, key, plain
from stations.cpo.ocpi.objects.bookings import BookingIn
from stations.cpo.ocpi.objects.cdrs import CdrIn, seconds
from stations.cpo.ocpi.objects.sessions import SessionIn
from stations.events import CDRConflictFound, RoamingCDRReceived, RoamingSessionChanged
from stations.models import Connector, CPOCommand, Party, Source
from stations.ordering import is_older
from stations.services.networks import finish_cpo_command
from stations.services.sites import find_evse

JOINED_WITHIN = timedelta(minutes=15)
NEW, SAME, CONFLICT = "new", "same", "conflict"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")


# --- sessions ---------------------------------------------------------------------------------------------------
def find_session(source: Source, session_key: str) -> RoamingSession | None:
    return RoamingSession.objects.filter(source=source, key__lower=session_key.lower()).first()


@transaction.atomic
def put_session(*, source: Source, session: SessionIn, raw: dict[str, Any], at: datetime) -> tuple[RoamingSession, str]:
    """The whole session anew (OCPI PUT, or from a list): what it leaves out is gone. Older news changes nothing.

    Returns the row and `new`, `changed` or `same`.
    """
    held = _locked_session(source, session.key)
    if held is None:
        try:
            with transaction.atomic():
                return _write_session(RoamingSession(source=source, created_at=at), session, raw, at), NEW
        except IntegrityError:  # pushed and pulled in the same moment
            held = _locked_session(source, session.key)
            if held is None:
                raise
    return _change_session(held, session, raw, at)


@transaction.atomic
def patch_session(
    *, source: Source, session_key: str, patch: dict[str, Any], at: datetime
) -> tuple[RoamingSession, str] | None:
    """Only what is named changes, and charging periods are appended (OCPI 2.2.1 sessions, PATCH); None: unknown.

    A period that we hold word for word is not appended again, so the same PATCH twice is one change.
    """
    held = _locked_session(source, session_key)
    if held is None:
        return None
    merged = {**held.raw, **plain(patch), "charging_periods": _appended(held.raw, patch)}
    session = SessionIn.model_validate(merged)
    return _change_session(held, session, merged, at)


def _locked_session(source: Source, session_key: str) -> RoamingSession | None:
    rows = RoamingSession.objects.select_for_update(of=("self",))
    return rows.filter(source=source, key__lower=session_key.lower()).first()


def _appended(held: Mapping[str, Any], patch: Mapping[str, Any]) -> list[Any]:
    known = list(held.get("charging_periods") or [])
    seen = {digest(period) for period in known}
    return [*known, *(p for p in plain(patch.get("charging_periods") or []) if digest(p) not in seen)]


def _change_session(
    held: RoamingSession, session: SessionIn, raw: dict[str, Any], at: datetime
) -> tuple[RoamingSession, str]:
    is_old = is_older(session.last_updated, held.source_updated_at, at)
    if is_old or held.content_hash == digest(plain(raw)):
        return held, SAME
    return _write_session(held, session, raw, at), "changed"


def _write_session(row: RoamingSession, session: SessionIn, raw: dict[str, Any], at: datetime) -> RoamingSession:
    old = row.status
    row.key, row.status, row.periods = session.key, session.word, session.periods()
    _copy(row, session, plain(raw))
    row.location_ref, row.evse_ref = session.location_id[:48], session.evse_uid[:48]
    row.connector_ref, row.energy_wh = session.connector_id[:48], session.energy_wh
    row.connector = connector_of(row.source, _site_key(session, session.location_id), row.evse_ref, row.connector_ref)
    row.started_at, row.ended_at = session.start_date_time, session.end_date_time
    cost = session.total_cost
    row.total_before_taxes, row.total_after_taxes = (cost.before_taxes, cost.after_taxes) if cost else (None, None)
    row.updated_at = at
    row.save()
    _note_start(row)
    publish(RoamingSessionChanged(row.pk, row.source_id, old, row.status, at))
    return row


def _copy(row: RoamingUse, use: SessionIn | CdrIn, raw: dict[str, Any]) -> None:
    """What a Session and a CDR say alike."""
    token = use.cdr_token
    row.country_code, row.party_id = use.country_code.upper(), use.party_id.upper()
    row.token_uid, row.token_type, row.contract_id = token.uid[:48], token.type[:20], token.contract_id[:48]
    row.auth_method, row.authorization_reference = use.auth_method[:20], use.authorization_reference[:48]
    row.currency, row.raw, row.content_hash = use.currency, raw, digest(raw)
    row.source_updated_at = use.last_updated


def _site_key(use: SessionIn | CdrIn, location_id: str) -> str:
    return key(use.country_code, use.party_id, location_id)


def connector_of(source: Source, site_key: str, evse_uid: str, connector_id: str) -> Connector | None:
    """The plug that a CPO names; the only one of the EVSE where it names none; None where we cannot tell (#NA)."""
    evse = find_evse(source, f"{site_key}*{evse_uid}") if evse_uid else None
    if evse is None:
        return None
    plugs = list(evse.connectors.all())
    named = [plug for plug in plugs if plug.external_id.lower() == connector_id.lower()]
    return next(iter(named or plugs), None) if named or len(plugs) == 1 else None


# --- which command began it -------------------------------------------------------------------------------------
def _note_start(row: RoamingSession) -> None:
    """A start of ours is done once its session is seen, whatever its result said (OCPI issue 475)."""
    command = _start_of(row)
    if command is None or command.state == CPOCommand.State.SESSION_SEEN:
        return
    command.state, command.session_ref = CPOCommand.State.SESSION_SEEN, session_id_of(row)
    command.save(update_fields=["state", "session_ref"])


def _start_of(row: RoamingSession) -> CPOCommand | None:
    """By our reference; by token, site and time where the CPO leaves it out."""
    starts = CPOCommand.objects.select_for_update().filter(source=row.source, kind=CPOCommand.Kind.START_SESSION)
    if row.authorization_reference:
        return starts.filter(reservation_key=row.authorization_reference).first()
    near = starts.filter(
        created_at__range=(row.started_at - JOINED_WITHIN, row.started_at + JOINED_WITHIN), session_ref="",
        request__location_id=row.location_ref, request__token__uid=row.token_uid,
    )  # fmt: skip
    return near.order_by("-created_at").first()


def session_id_of(row: RoamingSession) -> str:
    """The CPO's own id of it."""
    return row.key.split("*", 2)[-1]


# --- CDRs -------------------------------------------------------------------------------------------------------
def take_cdr(*, source: Source, cdr: CdrIn, raw: dict[str, Any], at: datetime) -> tuple[RoamingCDR, str]:
    """Keep a CDR for good. The same again is `same`; something else under its id is a `conflict`, kept for finance."""
    raw = plain(raw)
    held = find_cdr(source, cdr.key)
    if held is None:
        try:
            return _write_cdr(source, cdr, raw, at), NEW
        except IntegrityError:  # pushed and pulled in the same moment
            held = find_cdr(source, cdr.key)
            if held is None:
                raise
    if held.content_hash == digest(raw):
        return held, SAME
    _keep_conflict(held, raw, at)
    return held, CONFLICT


def find_cdr(source: Source, cdr_key: str) -> RoamingCDR | None:
    return RoamingCDR.objects.filter(source=source, key__lower=cdr_key.lower()).first()


@transaction.atomic
def _write_cdr(source: Source, cdr: CdrIn, raw: dict[str, Any], at: datetime) -> RoamingCDR:
    where = cdr.cdr_location
    row = RoamingCDR(
        source=source, key=cdr.key, session_ref=(cdr.session_id or "")[:48], is_credit=cdr.credit,
        credit_reference=(cdr.credit_reference_id or "")[:48], location_ref=where.id[:48],
        evse_ref=where.evse_uid[:48], connector_ref=where.connector_id[:48], started_at=cdr.start_date_time,
        ended_at=cdr.end_date_time, energy_wh=cdr.energy_wh, total_before_taxes=cdr.total_cost.before_taxes,
        total_after_taxes=cdr.total_cost.after_taxes, total_seconds=seconds(cdr.total_time),
        parking_seconds=seconds(cdr.total_parking_time), costs=cdr.costs(), received_at=at,
        taxes=[tax.model_dump(mode="json") for tax in cdr.total_cost.taxes or []], tariffs=plain(cdr.tariffs),
        periods=[period.model_dump(mode="json") for period in cdr.charging_periods],
    )  # fmt: skip
    _copy(row, cdr, raw)
    row.connector = connector_of(source, _site_key(cdr, where.id), where.evse_uid, where.connector_id)
    row.save(force_insert=True)
    publish(RoamingCDRReceived(row.pk, source.pk, row.is_credit, at))
    return row


@transaction.atomic
def _keep_conflict(held: RoamingCDR, raw: dict[str, Any], at: datetime) -> None:
    conflict, is_new = CDRConflict.objects.get_or_create(
        cdr=held, content_hash=digest(raw), defaults={"raw": raw, "received_at": at}
    )
    if is_new:
        publish(CDRConflictFound(conflict.pk, held.pk, held.source_id, at))


# --- documents --------------------------------------------------------------------------------------------------
def find_document(source: Source, kind: str, document_key: str) -> PeerDocument | None:
    rows = PeerDocument.objects.filter(source=source, kind=kind, key__lower=document_key.lower(), is_deleted=False)
    return rows.first()


@transaction.atomic
def keep_document(
    *, source: Source, kind: str, document_key: str, raw: dict[str, Any], updated_at: datetime, at: datetime,
    reference: str = "", state: str = "", cdr_ids: list[str] | None = None,
) -> tuple[PeerDocument, str]:  # fmt: skip
    """Store or replace a document; older news changes nothing. Returns the row and `new`, `changed` or `same`."""
    Source.objects.select_for_update().get(pk=source.pk)
    held = PeerDocument.objects.filter(source=source, kind=kind, key__lower=document_key.lower()).first()
    raw = plain(raw)
    is_held = held is not None and not held.is_deleted
    if held is not None and is_held and (held.raw == raw or is_older(updated_at, held.source_updated_at, at)):
        return held, SAME
    row = held or PeerDocument(source=source, kind=kind, key=document_key[:60])
    row.raw, row.source_updated_at, row.received_at, row.is_deleted = raw, updated_at, at, False
    row.reference, row.state, row.cdr_ids = reference[:48], state[:20], [each[:48] for each in cdr_ids or []]
    row.save()
    return row, "changed" if held else NEW


def drop_document(*, source: Source, kind: str, document_key: str, at: datetime) -> bool:
    """Its owner took it back; the row stays as a tombstone."""
    rows = PeerDocument.objects.filter(source=source, kind=kind, key__lower=document_key.lower(), is_deleted=False)
    return rows.update(is_deleted=True, received_at=at) > 0


BOOKING_STATES = {
    "RESERVED": CPOCommand.State.ACCEPTED,
    "FULFILLED": CPOCommand.State.ACCEPTED,
    "REJECTED": CPOCommand.State.REJECTED,
    "FAILED": CPOCommand.State.FAILED,
    "CANCELED": CPOCommand.State.CANCELLED,
    "NO_SHOW": CPOCommand.State.CANCELLED,
}


@transaction.atomic
def take_booking(*, source: Source, booking: BookingIn, raw: dict[str, Any], at: datetime) -> bool:
    """Keep a booking of ours as its CPO sees it, and settle the reservation that asked for it; True when it is new."""
    _, outcome = keep_document(
        source=source, kind=PeerDocument.Kind.BOOKING, document_key=booking.key, raw=raw,
        updated_at=booking.last_updated, at=at, reference=booking.request_id, state=booking.reservation_status.upper(),
    )  # fmt: skip
    state = BOOKING_STATES.get(booking.reservation_status.upper())
    asked = CPOCommand.objects.filter(source=source, kind=CPOCommand.Kind.BOOKING, reservation_key=booking.request_id)
    command = asked.order_by("-pk").first()
    if outcome != SAME and state is not None and command is not None:
        finish_cpo_command(
            command_id=command.pk, state=state, reason=booking.reservation_status[:120], at=at, result=plain(raw)
        )
    return outcome == NEW


@transaction.atomic
def note_client(*, source: Source, country_code: str, party_id: str, role: str, status: str, at: datetime) -> bool:
    """What a hub says of a party behind it; older news changes nothing. True when the party is new."""
    Source.objects.select_for_update().get(pk=source.pk)
    names = {"source": source, "country_code": country_code.upper(), "party_id": party_id.upper()}
    party = Party.objects.filter(**names).first()
    if party and is_older(at, party.hub_status_at, timezone.now()):
        return False
    facts = {"role": role.upper()[:10], "hub_status": status.upper()[:10], "hub_status_at": at}
    Party.objects.update_or_create(**names, defaults=facts, create_defaults={**facts, "name": party_id.upper()})
    return party is None


# --- the same or not --------------------------------------------------------------------------------------------
def digest(raw: Any) -> str:
    """Of the meaning, not the spelling: 4 and 4.0, Z and +00:00, null and absent are the same."""
    return hashlib.sha256(orjson.dumps(_normal(raw), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _normal(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _normal(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{Decimal(str(value)).normalize():f}"
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        return as_utc(value).isoformat()
    return value
