"""The certificates of our chargers: signed, installed, reported, and watched until they expire."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from fleetcharge.lib.sweeps import survived
from ocpp_bridge import commands, security, signing
from ocpp_bridge.matters import raise_matter, settle_matter
from ocpp_bridge.models import CertificateRequest, ChargerCertificate, Command
from ocpp_bridge.saying import some
from stations.models import Charger

Origin, Asked = ChargerCertificate.Origin, CertificateRequest.State
STATION_KINDS = {"ChargingStationCertificate": "station", "V2GCertificate": "v2g", "": "station"}
LAST_WARNING = timedelta(days=7)
_A = Command.Action
NEWS = frozenset({
    _A.GET_INSTALLED_CERTIFICATE_IDS, _A.INSTALL_CERTIFICATE, _A.DELETE_CERTIFICATE, _A.CERTIFICATE_SIGNED,
})  # fmt: skip

logger = logging.getLogger(__name__)


# --- signing --------------------------------------------------------------------------------------------------------


def sign_waiting(*, now: datetime) -> int:
    """Sign what chargers asked for and hand it over; returns how many. Without a signer nothing happens."""
    try:
        signer = signing.signer()
    except signing.CannotSign as error:
        logger.error("certificate requests wait: %s", error)
        return 0
    if signer is None:
        return 0
    waiting = CertificateRequest.objects.filter(state=Asked.WAITING).order_by("pk")
    signed = 0
    for request_id in list(waiting.values_list("pk", flat=True)):
        with survived("certificate request", request_id):
            signed += _sign(request_id, signer, now)
    return signed


@transaction.atomic
def _sign(request_id: int, signer: signing.CertificateSigner, now: datetime) -> bool:
    request = CertificateRequest.objects.select_for_update().select_related("charger").get(pk=request_id)
    if request.state != Asked.WAITING:
        return False
    try:
        if not signing.signs(request.kind):
            raise signing.CannotSign(f"{request.kind} is not ours to sign.")
        chain = signer.sign(csr_pem=request.csr, identity=request.charger.ocpp_identity, now=now)
    except signing.CannotSign as error:
        request.state, request.reason = Asked.REFUSED, str(error)[:200]
        request.save(update_fields=["state", "reason"])
        return False
    kind = STATION_KINDS.get(request.kind, "station")
    note_certificate(
        charger_id=request.charger_id, kind=kind, pem=chain, origin=Origin.SIGNED, request_id=request.pk, at=now
    )
    commands.enqueue(
        charger_id=request.charger_id,
        action=_A.CERTIFICATE_SIGNED,
        parameters=some(certificate_chain=chain, certificate_type=kind, request_id=request.request_id),
        idempotency_key=f"{security.handover_key(request)}:{request.received_at:%Y%m%d%H%M%S%f}",
        actor="certificate signer",
        now=now,
    )
    request.state, request.reason = Asked.SIGNED, ""
    request.save(update_fields=["state", "reason"])
    settle_matter(charger_id=request.charger_id, cause="certificate", key=request.kind, at=now)
    return True


# --- the inventory --------------------------------------------------------------------------------------------------


@transaction.atomic
def note_certificate(
    *, charger_id: int, kind: str, pem: str, origin: str, at: datetime, request_id: int | None = None,
    is_confirmed: bool = False,
) -> ChargerCertificate | None:  # fmt: skip
    """Keep what the first certificate of a PEM says of itself; None when there is none in it."""
    try:
        certificate = x509.load_pem_x509_certificates(pem.encode())[0]
    except (ValueError, IndexError):
        return None
    row, _ = ChargerCertificate.objects.update_or_create(
        charger_id=charger_id,
        kind=kind,
        serial_number=f"{certificate.serial_number:x}",
        removed_at=None,
        defaults={
            "subject": certificate.subject.rfc4514_string()[:255],
            "fingerprint": certificate.fingerprint(hashes.SHA256()).hex(),
            "origin": origin,
            "not_before": certificate.not_valid_before_utc,
            "not_after": certificate.not_valid_after_utc,
            **({"request_id": request_id} if request_id else {}),
            **({"is_confirmed": True, "seen_at": at} if is_confirmed else {}),
        },
    )
    return row


@transaction.atomic
def take_answer(*, command_id: str, at: datetime) -> bool:
    """What an answered certificate command says about the inventory; False for others and refusals."""
    command = Command.objects.filter(pk=command_id, state=Command.State.ACCEPTED, action__in=NEWS).first()
    if command is None:
        return False
    handler = {
        _A.GET_INSTALLED_CERTIFICATE_IDS: _take_list,
        _A.INSTALL_CERTIFICATE: _take_installed,
        _A.DELETE_CERTIFICATE: _take_deleted,
        _A.CERTIFICATE_SIGNED: _take_signed,
    }[_A(command.action)]
    handler(command, command.answered_at or at)
    return True


def _take_installed(command: Command, at: datetime) -> None:
    note_certificate(
        charger_id=command.charger_id, kind=str(command.parameters.get("certificate_type", ""))[:40],
        pem=str(command.parameters.get("certificate", "")), origin=Origin.INSTALLED, at=at, is_confirmed=True,
    )  # fmt: skip


def _take_signed(command: Command, at: datetime) -> None:
    """The new one is in use: those before it are gone, and so is their warning."""
    kind = str(command.parameters.get("certificate_type") or "station")
    pem = str(command.parameters.get("certificate_chain", ""))
    row = note_certificate(
        charger_id=command.charger_id, kind=kind, pem=pem, origin=Origin.SIGNED, at=at, is_confirmed=True
    )
    if row is not None:
        older = ChargerCertificate.objects.current().filter(charger_id=command.charger_id, kind=kind)
        for old in older.exclude(pk=row.pk):
            _remove(old, at)


def _take_deleted(command: Command, at: datetime) -> None:
    serial = _serial((command.parameters.get("certificate_hash") or {}).get("serial_number"))
    for row in ChargerCertificate.objects.current().filter(charger_id=command.charger_id, serial_number=serial):
        _remove(row, at)


def _take_list(command: Command, at: datetime) -> None:
    """Hashes and serial numbers only: known ones are confirmed, the others are kept without an expiry.

    Installed ones of the same kind that are no longer named are gone (OCPP 2.0.1 part 2 M03; 1.6 white paper 5.8).
    """
    named: dict[str, set[str]] = {}
    for kind, entry in _listed(command):
        serial = _serial(entry.get("serialNumber"))
        if not serial:
            continue
        named.setdefault(kind, set()).add(serial)
        row, _ = ChargerCertificate.objects.get_or_create(
            charger_id=command.charger_id, kind=kind, serial_number=serial, removed_at=None,
            defaults={"origin": Origin.REPORTED, "issuer_hash": str(entry.get("issuerNameHash", ""))[:130]},
        )  # fmt: skip
        ChargerCertificate.objects.filter(pk=row.pk).update(is_confirmed=True, seen_at=at)
    asked = list(command.parameters.get("certificate_types") or []) or [*_KINDS.values(), *named]
    known = ChargerCertificate.objects.current().filter(charger_id=command.charger_id, kind__in=asked)
    for row in known.exclude(origin=Origin.SIGNED):
        if row.serial_number not in named.get(row.kind, set()):
            _remove(row, at)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _listed(command: Command) -> Iterator[tuple[str, dict[str, Any]]]:
    """(kind in our words, hash data) of both versions' answers."""
    answer = command.response if isinstance(command.response, dict) else {}
    asked = command.parameters.get("certificate_types") or ["csms_root"]
    for entry in _list(answer.get("certificateHashData")):
        if isinstance(entry, dict):
            yield asked[0], entry
    for chain in _list(answer.get("certificateHashDataChain")):
        if isinstance(chain, dict) and isinstance(chain.get("certificateHashData"), dict):
            yield (
                _KINDS.get(str(chain.get("certificateType")), str(chain.get("certificateType"))[:40]),
                chain["certificateHashData"],
            )


_KINDS = {
    "V2GRootCertificate": "v2g_root", "MORootCertificate": "mo_root", "CSMSRootCertificate": "csms_root",
    "V2GCertificateChain": "v2g_chain", "ManufacturerRootCertificate": "manufacturer_root",
    "OEMRootCertificate": "oem_root",
}  # fmt: skip


def _serial(value: object) -> str:
    return str(value or "").lower().removeprefix("0x").replace(":", "").lstrip("0")[:64]


def _remove(row: ChargerCertificate, at: datetime) -> None:
    row.removed_at = at
    row.save(update_fields=["removed_at"])
    settle_matter(charger_id=row.charger_id, cause="certificate", key=_expiry_key(row), at=at)


# --- the watch ------------------------------------------------------------------------------------------------------


@transaction.atomic
def warn_of_expiry(*, now: datetime) -> int:
    """Show a person what expires within OCPP_CERTIFICATE_WARNING_DAYS, and once more in the last week; how many."""
    soon = now + timedelta(days=settings.OCPP_CERTIFICATE_WARNING_DAYS)
    first = Q(warned_at=None)
    last = Q(not_after__lt=now + LAST_WARNING, warned_at__lt=now - LAST_WARNING)
    due = ChargerCertificate.objects.select_for_update(skip_locked=True).expiring_before(soon).filter(first | last)
    rows = list(due.order_by("pk"))
    for row in rows:
        assert row.not_after is not None  # noqa: S101 (expiring_before)
        days = (row.not_after - now).days
        title = "a certificate has expired" if days < 0 else f"a certificate expires in {days} days"
        raise_matter(
            charger_id=row.charger_id, cause="certificate", key=_expiry_key(row), title=title,
            detail=f"{row.kind} {row.subject or row.serial_number}"[:400], is_bad=days < LAST_WARNING.days, at=now,
        )  # fmt: skip
        row.warned_at = now
        row.save(update_fields=["warned_at"])
    return len(rows)


def _expiry_key(row: ChargerCertificate) -> str:
    return f"expiry:{row.kind}:{row.serial_number[:16]}"


def ask_for_list(*, charger: Charger, actor: str, key: str, now: datetime) -> Command:
    """Ask which certificates are installed: of every kind in OCPP 2.x, of the CSMS root in 1.6."""
    kinds = ["csms_root"] if charger.protocol == "ocpp1.6" else []
    return commands.enqueue(
        charger_id=charger.pk, action=_A.GET_INSTALLED_CERTIFICATE_IDS, parameters={"certificate_types": kinds},
        idempotency_key=key, actor=actor, now=now,
    )  # fmt: skip
