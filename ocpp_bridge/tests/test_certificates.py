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
from ocpp_bridge import commands, inventory, security, signing, vocabulary
from ocpp_bridge.models import CertificateRequest, ChargerCertificate, Command
from ocpp_bridge.tests import factories
from ocpp_bridge.tests.conftest import Connect
from ocpp_bridge.threads import in_database
from stations.events import ChargerMatterSettled, ChargerNeedsAttention
from stations.models import Charger

NOW = datetime.now(UTC).replace(microsecond=0)
PEM = serialization.Encoding.PEM


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def request_of(identity: str) -> str:
    return request_for(name(identity))


def request_for(subject: x509.Name) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
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


def ask(station: Charger, pem: str, number: int | None = None) -> bool:
    return security.take_certificate_request(
        charger_id=station.pk, pem=pem, kind="ChargingStationCertificate", request_id=number,
        received_at=NOW + timedelta(seconds=number or 0),
    )  # fmt: skip


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


@pytest.mark.parametrize("state", ["accepted", "rejected", "timed_out", "expired", "failed"])
def test_the_same_request_again_is_signed_again(station: Charger, ca: x509.Certificate, state: str) -> None:
    """One that was accepted is renewed with the key it has; the others never arrived."""
    pem = request_of("BLR-1")
    assert ask(station, pem)
    inventory.sign_waiting(now=NOW)
    first = Command.objects.get()
    assert ask(station, pem, number=2)  # on its way
    assert inventory.sign_waiting(now=NOW) == 0
    answer(first, None, state)
    assert ask(station, pem, number=3)
    assert inventory.sign_waiting(now=NOW) == 1
    [second] = Command.objects.exclude(pk=first.pk)
    chains = [x509.load_pem_x509_certificates(one.parameters["certificate_chain"].encode()) for one in (first, second)]
    assert chains[0][0].public_key() == chains[1][0].public_key()
    assert chains[0][0].serial_number != chains[1][0].serial_number
    answer(second, {"status": "Accepted"})
    assert ask(station, pem, number=4)
    assert inventory.sign_waiting(now=NOW) == 1
    assert [one.serial_number for one in ChargerCertificate.objects.filter(is_confirmed=True, removed_at=None)] == [
        f"{chains[1][0].serial_number:x}"
    ]


@pytest.mark.parametrize(("version", "told"), [("ocpp1.6", None), ("ocpp2.0.1", None), ("ocpp2.1", 17)])
def test_the_certificate_says_which_request_it_answers(
    station: Charger, ca: x509.Certificate, version: str, told: int | None
) -> None:
    assert ask(station, request_of("BLR-1"), number=17)
    inventory.sign_waiting(now=NOW)
    action, payload = vocabulary.say(version, "CertificateSigned", Command.objects.get().parameters)
    assert (action, payload.get("requestId")) == ("CertificateSigned", told)


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


@pytest.mark.parametrize("kind", ["V2GCertificate", "V2G20Certificate", "ChargingStationCertificate", ""])
async def test_nobody_gets_a_certificate_in_another_chargers_name(
    connect: Connect, transactional_db: None, organisation: Organisation, ca: x509.Certificate, kind: str
) -> None:
    factories.charger(organisation, "BLR-1", protocol="ocpp2.1")
    factories.charger(organisation, "BLR-2")
    socket = await connect("BLR-1", subprotocols=["ocpp2.1"])
    named_twice = x509.Name([*name("BLR-1"), *name("BLR-2")])
    for subject in (name("BLR-2"), named_twice):
        asked = {"csr": request_for(subject)} | ({"certificateType": kind} if kind else {})
        assert await socket.call("SignCertificate", asked) == {"status": "Rejected"}
    assert await in_database(inventory.sign_waiting, now=NOW) == 0
    assert await in_database(Command.objects.count) == 0


async def test_v2g_certificates_are_not_signed_even_for_itself_and_do_not_bar_its_own(
    connect: Connect, transactional_db: None, organisation: Organisation, ca: x509.Certificate
) -> None:
    factories.charger(organisation, "BLR-1", protocol="ocpp2.0.1")
    socket = await connect("BLR-1", subprotocols=["ocpp2.0.1"])
    pem = request_of("BLR-1")
    v2g = {"csr": pem, "certificateType": "V2GCertificate"}
    assert await socket.call("SignCertificate", v2g) == {"status": "Rejected"}
    assert await socket.call("SignCertificate", {"csr": pem}) == {"status": "Accepted"}
    assert await socket.call("SignCertificate", v2g) == {"status": "Rejected"}


def test_what_was_taken_before_this_rule_is_not_signed_either(station: Charger, ca: x509.Certificate) -> None:
    CertificateRequest.objects.create(charger=station, kind="V2GCertificate", csr=request_of("BLR-2"), csr_hash="x")
    assert inventory.sign_waiting(now=NOW) == 0
    assert CertificateRequest.objects.get().state == "refused"


def test_the_signer_writes_the_subject_whatever_the_request_says(station: Charger, ca: x509.Certificate) -> None:
    signer = signing.signer()
    assert signer is not None
    [signed, _] = x509.load_pem_x509_certificates(
        signer.sign(csr_pem=request_of("BLR-2"), identity="BLR-1", now=NOW).encode()
    )
    assert signed.subject == name("BLR-1")
