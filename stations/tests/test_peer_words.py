"""What a peer writes is shown short, in one line, and without what opens doors; fleets never read it at all."""

import pytest
from django.utils import timezone

from fleetcharge.accounts.models import Organisation
from fleetcharge.lib.outbound import RefusedAddress, check_url
from fleetcharge.webhooks import catalogue
from stations import network_outbox, services, tasks
from stations.cpo.base import CPOError
from stations.cpo.ocpi.client import OCPIClient
from stations.cpo.peer_words import LONGEST, peer_words
from stations.events import SourceStateChanged
from stations.models import NetworkAccess, Source
from stations.tests.factories import make_source
from stations.tests.ocpi_peers import Network


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Unknown token for this party", "Unknown token for this party"),
        ("see https://ops:pw@cpo.example/cb/s3cr3t?key=1 now", "see https://cpo.example/… now"),
        ('{"token": "abc", "x": 1}', '{"token": "… "x": 1}'),
        ("Authorization: x\r\nnext", "Authorization: … next"),
        ("Authorization: Token abc123 next", "Authorization: … next"),
        ("authorization=Bearer abc123", "authorization=…"),
        ("Authorization: Basic", "Authorization: …"),
        ("no such 4bX9kLm2Pq7Rt5Vw here", "no such … here"),
        ("charging_preferences_required", "charging_preferences_required"),
        ("my T0KEN is here", "my … is here"),
        (None, "None"),
    ],
)
def test_what_looks_like_a_key_goes(text: object, shown: str) -> None:
    assert peer_words(text, "T0KEN") == shown


def test_a_long_story_is_cut() -> None:
    assert len(peer_words("no " * 100_000)) == LONGEST


@pytest.mark.django_db(transaction=True)
def test_a_peer_that_quotes_our_token_does_not_get_it_shown(usual: Network) -> None:
    token = usual.source.peer_token
    said = f"Bad token {token} at https://cpo.example/x?k={token}" + "!" * 5_000
    usual.peer.broken = f'{{"status_code": 2001, "status_message": "{said}"}}'.encode()
    with pytest.raises(CPOError) as refused, OCPIClient(usual.source) as client:
        client.call("GET", usual.source.endpoints["locations"])
    assert token not in str(refused.value)
    assert str(refused.value).startswith("VoltGrid: 2001 Bad token … at https://cpo.example/…")
    assert len(str(refused.value)) < 300


@pytest.mark.django_db(transaction=True)
def test_what_a_test_of_a_network_quotes_is_not_told_to_fleets(usual: Network) -> None:
    services.source_failed(source_id=usual.source.pk, error="gone", code="cpo_unavailable", at=timezone.now())
    usual.peer.broken = b'{"status_code": 2001, "status_message": "ask Ravi"}'
    tasks.check_source(usual.source.pk)
    source = Source.objects.get()
    assert (source.last_error, source.last_error_code) == ("Test: VoltGrid: 2001 ask Ravi", "ocpi_2001")
    assert network_outbox.trouble_of(source) == "VoltGrid answers OCPI 2001."
    usual.peer.broken = None
    tasks.check_source(usual.source.pk)
    source = Source.objects.get()
    assert (source.last_error, source.last_error_code) == ("", "")


def test_an_address_is_named_without_its_password() -> None:
    with pytest.raises(RefusedAddress) as refused:
        check_url("https://ops:hunter2@cpo.example/versions?key=s3cret#k", allow_private=False)
    assert str(refused.value) == "https://…@cpo.example/versions is not a plain https address."


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("code", "error", "reason"),
    [
        ("http_401", "Volt answers HTTP 401.", "Volt answers HTTP 401."),
        ("ocpi_2001", "Volt: 2001 ask Ravi on 98450 12345", "Volt answers OCPI 2001."),
        ("nack", "Volt does not take the message: key of Ravi", "What Volt answers cannot be used."),
        ("hostile_url", "https://10.0.0.8/inner leads into a private network.", "What Volt answers cannot be used."),
        ("KeyError", "We failed at what it sent (KeyError: 'Ravi').", "What Volt answers cannot be used."),
        ("cpo_unavailable", "Volt cannot be reached: no.", "Volt cannot be reached: no."),
    ],
)
def test_fleets_are_told_what_is_wrong_in_our_words(
    organisation: Organisation, code: str, error: str, reason: str
) -> None:
    source = make_source(slug="volt", kind="ocpi-2.2.1")
    NetworkAccess.objects.create(source=source, organisation=organisation)
    for _ in range(3):
        services.source_failed(source_id=source.pk, error=error, code=code, at=timezone.now())
    assert Source.objects.get().last_error == error  # its operator reads it whole
    event = SourceStateChanged(source.pk, "connected", "failing", timezone.now())
    [fact] = network_outbox._network(event, frozenset({organisation.pk}))
    assert fact.data["reason"] == reason
    assert catalogue.NETWORK_CHANGED in catalogue.CATALOGUE
