"""Certificates: signed by the operator's CA when there is one, listed, and watched until they end."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.utils import timezone

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib import events
from ocpp_bridge import commands, inventory, security, signing
from ocpp_bridge.models import CertificateRequest, ChargerCertificate, Command
from ocpp_bridge.tests import factories
from stations.events import ChargerMatterSettled, ChargerNeedsAttention
from stations.models import Charger

NOW = datetime.now(UTC).replace(microsecond=0)
PEM = serialization.Encoding.PEM


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def request_of(identity: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(name(identity)).sign(key, hashes.SHA256())
    return request.public_bytes(PEM).decode()


def certificate(common_name: str, days: int, key: ec.EllipticCurvePrivateKey | None = None) -> x509.Certificate:
    key = key or ec.generate_private_key(ec.SECP256R1())
    return (
        x509.CertificateBuilder().subject_name(name(common_name)).issuer_name(name(common_name))
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=30)).not_valid_after(NOW + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )  # fmt: skip


@pytest.fixture
def station(organisation: Organisation) -> Charger:
    return factories.charger(organisation, "BLR-1", protocol="ocpp2.0.1")


@pytest.fixture
def ca(tmp_path: Path, settings) -> x509.Certificate:
    """An operator's CA, configured."""
    key = ec.generate_private_key(ec.SECP256R1())
    root = certificate("Namma CA", 3650, key)
    plain = serialization.NoEncryption()
    (tmp_path / "ca.key").write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, plain))
    (tmp_path / "ca.pem").write_bytes(root.public_bytes(PEM))
    settings.OCPP_CA_KEY, settings.OCPP_CA_CERTIFICATE = str(tmp_path / "ca.key"), str(tmp_path / "ca.pem")
    return root


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks) -> list[object]:
    """What persons would be shown."""
    told: list[object] = []
    for event in (ChargerNeedsAttention, ChargerMatterSettled):
        monkeypatch.setitem(events._handlers, event, [told.append])
    return told


def ask(station: Charger, pem: str) -> bool:
    return security.take_certificate_request(
        charger_id=station.pk, pem=pem, kind="ChargingStationCertificate", request_id=None, received_at=NOW
    )


def answer(command: Command, response: object, state: str = "accepted") -> None:
    commands.finish(command_id=command.pk, state=state, reason="", response=response, at=timezone.now())
    inventory.take_answer(command_id=str(command.pk), at=timezone.now())


def test_without_a_signer_every_request_is_refused_and_welcome_later(station: Charger, request) -> None:
    pem = request_of("BLR-1")
    assert ask(station, pem) is False
    assert inventory.sign_waiting(now=NOW) == 0
    request.getfixturevalue("ca")
    assert ask(station, pem) is True
    assert CertificateRequest.objects.get().state == "waiting"


def test_a_request_is_signed_handed_over_and_confirmed(station: Charger, ca: x509.Certificate) -> None:
    assert ask(station, request_of("BLR-1"))
    assert inventory.sign_waiting(now=NOW) == 1
    assert inventory.sign_waiting(now=NOW) == 0
    command = Command.objects.get()
    assert command.action == Command.Action.CERTIFICATE_SIGNED
    chain = x509.load_pem_x509_certificates(command.parameters["certificate_chain"].encode())
    assert [part.subject for part in chain] == [name("BLR-1"), name("Namma CA")]
    chain[0].verify_directly_issued_by(ca)
    assert chain[0].not_valid_after_utc == NOW + timedelta(days=365)
    assert chain[0].extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    row = ChargerCertificate.objects.get()
    assert (row.serial_number, row.is_confirmed) == (f"{chain[0].serial_number:x}", False)
    answer(command, {"status": "Accepted"})
    row.refresh_from_db()
    assert row.is_confirmed


def test_the_new_certificate_takes_the_place_of_the_old(station: Charger, ca: x509.Certificate) -> None:
    for _ in range(2):
        ask(station, request_of("BLR-1"))
        inventory.sign_waiting(now=NOW)
        answer(Command.objects.order_by("-created_at").first(), {"status": "Accepted"})
    assert ChargerCertificate.objects.count() == 2
    assert ChargerCertificate.objects.current().count() == 1


def test_a_request_for_another_charger_is_not_signed(station: Charger, ca: x509.Certificate) -> None:
    assert ask(station, request_of("SOMEBODY-ELSE")) is False
    assert inventory.sign_waiting(now=NOW) == 0
    assert ChargerCertificate.objects.count() == 0


def test_a_broken_ca_signs_nothing_and_loses_nothing(station: Charger, ca: x509.Certificate, settings) -> None:
    assert ask(station, request_of("BLR-1"))
    settings.OCPP_CA_KEY = "/nowhere/ca.key"
    assert inventory.sign_waiting(now=NOW) == 0
    assert CertificateRequest.objects.get().state == "waiting"
    with pytest.raises(signing.CannotSign):
        signing.signer()


def test_installed_ones_are_known_with_their_end_and_the_list_confirms_or_removes_them(station: Charger) -> None:
    root = certificate("CSMS root", 400)
    command = commands.enqueue(
        charger_id=station.pk, action="InstallCertificate", idempotency_key="i", actor="x",
        parameters={"certificate_type": "csms_root", "certificate": root.public_bytes(PEM).decode()},
    )  # fmt: skip
    answer(command, {"status": "Accepted"})
    row = ChargerCertificate.objects.get()
    assert (row.kind, row.not_after, row.subject) == ("csms_root", root.not_valid_after_utc, "CN=CSMS root")
    hashed = {"hashAlgorithm": "SHA256", "issuerNameHash": "aa", "issuerKeyHash": "bb"}
    listed = inventory.ask_for_list(charger=station, actor="x", key="l1", now=NOW)
    chain = [
        {"certificateType": "CSMSRootCertificate",
         "certificateHashData": {**hashed, "serialNumber": f"0{root.serial_number:X}"}},
        {"certificateType": "V2GRootCertificate", "certificateHashData": {**hashed, "serialNumber": "4711"}},
    ]  # fmt: skip
    answer(listed, {"status": "Accepted", "certificateHashDataChain": chain})
    rows = {row.kind: row for row in ChargerCertificate.objects.current()}
    assert set(rows) == {"csms_root", "v2g_root"}
    assert rows["v2g_root"].not_after is None
    answer(inventory.ask_for_list(charger=station, actor="x", key="l2", now=NOW), {"status": "NotFound"})
    assert ChargerCertificate.objects.current().count() == 0


def test_the_end_of_a_certificate_is_told_twice_and_settled(
    station: Charger, heard: list, django_capture_on_commit_callbacks
) -> None:
    pem = certificate("BLR-1", 20).public_bytes(PEM).decode()
    inventory.note_certificate(charger_id=station.pk, kind="station", pem=pem, origin="signed", at=NOW)
    with django_capture_on_commit_callbacks(execute=True):
        assert inventory.warn_of_expiry(now=NOW) == 1
        assert inventory.warn_of_expiry(now=NOW + timedelta(days=1)) == 0
        assert inventory.warn_of_expiry(now=NOW + timedelta(days=15)) == 1
    first, last = heard
    assert (first.cause, first.is_bad, first.title) == ("certificate", False, "BLR-1: a certificate expires in 20 days")
    assert (last.key, last.is_bad) == (first.key, True)
    with django_capture_on_commit_callbacks(execute=True):
        inventory._remove(ChargerCertificate.objects.get(), NOW)
    assert isinstance(heard[-1], ChargerMatterSettled)
    assert heard[-1].key == first.key
