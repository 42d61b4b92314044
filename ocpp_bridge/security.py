"""Security events and certificate requests: kept, judged, and shown when a person should look."""

from datetime import datetime

from django.db import transaction
from django.db.models import Q, QuerySet

from ocpp_bridge import csr, signing
from ocpp_bridge.matters import raise_matter
from ocpp_bridge.models import CertificateRequest, Command, SecurityEvent
from ocpp_bridge.station import digest
from stations.models import Charger

# OCPP 2.0.1 part 2 appendix 1 and the OCPP 1.6 security white paper, with the spelling of both.
CRITICAL = frozenset({
    "FirmwareUpdated", "SettingSystemTime", "StartupOfTheDevice", "ResetOrReboot", "SecurityLogWasCleared",
    "MemoryExhaustion", "TamperDetectionActivated", "MaintenanceLoginAccepted", "MaintenanceLoginFailed",
})  # fmt: skip
# Critical in the list, and daily life: a person is only called for the rest.
ROUTINE = frozenset({
    "FirmwareUpdated", "SettingSystemTime", "StartupOfTheDevice", "ResetOrReboot", "MaintenanceLoginAccepted",
})  # fmt: skip
SUSPICIOUS = frozenset({
    "FailedToAuthenticateAtCentralSystem", "FailedToAuthenticateAtCsms", "CentralSystemFailedToAuthenticate",
    "CsmsFailedToAuthenticate", "AttemptedReplayAttacks", "InvalidFirmwareSignature",
    "InvalidFirmwareSigningCertificate", "InvalidCentralSystemCertificate", "InvalidCsmsCertificate",
    "InvalidChargePointCertificate", "InvalidChargingStationCertificate", "InvalidTLSVersion", "InvalidTLSCipherSuite",
})  # fmt: skip
NO_SIGNER = "This installation signs no certificates."
NOT_OURS = "Only certificates of charging stations are signed here."
VERY_BAD = frozenset({"TamperDetectionActivated", "SecurityLogWasCleared", "AttemptedReplayAttacks"})


@transaction.atomic
def note_security_event(*, charger_id: int, type: str, tech_info: str, at: datetime, received_at: datetime) -> bool:
    """Keep one security event; False for a repeat. What is not routine is shown to a person."""
    _, is_new = SecurityEvent.objects.get_or_create(
        charger_id=charger_id,
        type=type,
        at=at,
        tech_info=tech_info,
        defaults={"is_critical": type in CRITICAL, "received_at": received_at},
    )
    if is_new and type in (CRITICAL - ROUTINE) | SUSPICIOUS:
        raise_matter(
            charger_id=charger_id, cause="security", key=type, title=type, detail=tech_info,
            is_bad=type in VERY_BAD, at=received_at,
        )  # fmt: skip
    return is_new


@transaction.atomic
def take_certificate_request(
    *, charger_id: int, pem: str, kind: str, request_id: int | None, received_at: datetime
) -> bool:
    """Check and keep a certificate signing request; True when it will be signed. The same CSR is one request.

    Said again, it is signed again unless its certificate is still on the way: that one was lost or refused, or it is
    renewed with the key it has.

    Without a signer (ocpp_bridge/signing.py) every request is refused; the same one is welcome once there is one. V2G
    certificates are always refused.
    """
    identity = Charger.objects.values_list("ocpp_identity", flat=True).get(pk=charger_id)
    checked = csr.check(pem, identity=identity)
    flaw = checked.flaw or ("" if signing.signs(kind) else NO_SIGNER if kind in signing.KINDS else NOT_OURS)
    state = CertificateRequest.State.REFUSED if flaw else CertificateRequest.State.WAITING
    request, is_new = CertificateRequest.objects.get_or_create(
        charger_id=charger_id,
        csr_hash=digest(pem if kind in signing.KINDS else f"{kind}\n{pem}"),  # another kind is another question
        defaults={
            "kind": kind,
            "request_id": request_id,
            "csr": pem,
            "subject": checked.subject[:255],
            "key": checked.key,
            "state": state,
            "reason": flaw[:200],
            "received_at": received_at,
        },
    )
    if is_new:
        title = "certificate request refused" if flaw else "asks for a certificate"
        detail = flaw or checked.subject
        raise_matter(charger_id=charger_id, cause="certificate", key=kind, title=title, detail=detail, at=received_at)
    elif not flaw and _may_be_signed_again(request):
        request.state, request.reason = CertificateRequest.State.WAITING, ""
        request.request_id, request.received_at = request_id, received_at
        request.save(update_fields=["state", "reason", "request_id", "received_at"])
    return request.state != CertificateRequest.State.REFUSED


def _may_be_signed_again(request: CertificateRequest) -> bool:
    if request.state == CertificateRequest.State.SIGNED:
        return not handovers_of(request).filter(state__in=Command.OPEN_STATES).exists()
    return request.reason == NO_SIGNER


def handovers_of(request: CertificateRequest) -> QuerySet[Command]:
    """The commands that brought, or bring, its certificates."""
    own = Q(idempotency_key=handover_key(request)) | Q(idempotency_key__startswith=f"{handover_key(request)}:")
    return Command.objects.filter(own, charger_id=request.charger_id, action=Command.Action.CERTIFICATE_SIGNED)


def handover_key(request: CertificateRequest) -> str:
    return f"certificate:{request.pk}"
