"""Letters to owners and finance: once for each fact, in their language, and never twice."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from billing.events import MandateChanged
from billing.models import Letter, Mandate, Wallet
from billing.notices import sending, writing
from billing.services import wallets
from billing.tests import factories
from billing.tests.notices.sink import Sink
from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.lib.events import publish
from fleetcharge.webhooks import services as webhooks
from fleetcharge.webhooks.models import WebhookMessage

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def wallet(organisation: Organisation) -> Wallet:
    """₹1,000, and a warning below ₹500."""
    return factories.fund(organisation, 1_000_00, low_threshold_paise=500_00)


def hold(organisation: Organisation, key: str, rupees: int) -> None:
    assert wallets.hold(organisation_id=organisation.pk, session_key=key, amount_paise=rupees * 100, now=NOW).is_held


def letters(**where: Any) -> int:
    return Letter.objects.filter(**where).count()


def test_one_fall_is_one_letter_to_each(
    organisation: Organisation, wallet: Wallet, owner: User, finance: User, dispatcher: User
) -> None:
    hold(organisation, "a", 500)  # exactly at the limit
    assert letters() == 0
    hold(organisation, "b", 1)
    assert sorted(Letter.objects.values_list("address", flat=True)) == [finance.email, owner.email]


def test_a_balance_that_swings_around_the_limit_is_one_fall(
    organisation: Organisation, wallet: Wallet, owner: User
) -> None:
    hold(organisation, "a", 501)
    for number in range(5):  # up to ₹599, down to ₹499
        wallets.top_up(organisation_id=organisation.pk, amount_paise=100_00 - 1, key=f"up{number}", at=NOW)
        hold(organisation, f"down{number}", 99)
    assert letters() == 1
    wallets.top_up(organisation_id=organisation.pk, amount_paise=110_00, key="more", at=NOW)  # a fifth above: ₹600
    assert Wallet.objects.get().low_since is None
    hold(organisation, "again", 120)
    assert letters() == 2


def test_the_webhook_says_it_as_often_as_the_letter(
    organisation: Organisation, wallet: Wallet, owner: User, settings: Any
) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_HOSTS = True
    webhooks.create_endpoint(
        organisation=organisation, url="http://127.0.0.1:9/in", event_types=["wallet.low"], actor=owner, now=NOW
    )
    hold(organisation, "a", 501)
    hold(organisation, "b", 1)
    message = WebhookMessage.objects.get(event_type="wallet.low")
    assert message.payload["data"]["available_paise"] == 499_00
    assert message.payload["data"]["currency"] == "INR"


def test_what_is_undone_tells_nobody(organisation: Organisation, wallet: Wallet, owner: User) -> None:
    from django.db import transaction

    with pytest.raises(RuntimeError), transaction.atomic():
        hold(organisation, "a", 900)
        assert letters() == 1
        raise RuntimeError
    assert letters() == 0
    assert Wallet.objects.get().low_since is None


def test_the_letter_in_the_language_of_its_reader(
    organisation: Organisation, wallet: Wallet, owner: User, finance: User
) -> None:
    User.objects.filter(pk=owner.pk).update(language="hi")
    hold(organisation, "a", 600)
    assert sending.work(now=timezone.now()) == 2
    by_reader = {message.to[0]: message for message in mail.outbox}
    english, hindi = by_reader[finance.email], by_reader[owner.email]
    assert english.subject == "The wallet of Namma Logistics is low: ₹400.00 can be spent"
    assert "Warning limit: ₹500.00" in english.body
    assert "वॉलेट" in hindi.subject and "₹400.00" in hindi.subject
    html, kind = english.alternatives[0]
    assert kind == "text/html"
    assert "/wallet/top-up/" in html and "http" in html
    assert "<img" not in html and "<link" not in html


def test_a_name_is_text_in_the_letter(organisation: Organisation, owner: User) -> None:
    Organisation.objects.filter(pk=organisation.pk).update(name="A & <b>B</b>\nBcc: x@y.example")
    writing.write(
        organisation_id=organisation.pk, kind="refund_failed", key="1", facts={"amount_paise": 1, "title": ""}, now=NOW
    )
    assert sending.work(now=timezone.now()) == 1
    message = mail.outbox[0]
    assert "\n" not in message.subject
    assert message.bcc == [] and message.to == [owner.email]
    assert "A &amp; &lt;b&gt;B" in message.alternatives[0][0]


def test_a_second_round_sends_nothing(organisation: Organisation, wallet: Wallet, owner: User) -> None:
    hold(organisation, "a", 600)
    assert [sending.work(now=timezone.now()) for _round in range(3)] == [1, 0, 0]
    assert len(mail.outbox) == 1


def test_a_failing_mandate_is_told(organisation: Organisation, owner: User) -> None:
    mandate = Mandate.objects.create(
        organisation=organisation, key="MD-1", max_amount_paise=15_000_00, payer_name="Namma", payer_email="p@n.in",
        payer_contact="+919900112233", expires_at=NOW + timedelta(days=90), state="confirmed", token_id="t",
        consecutive_failures=2,
    )  # fmt: skip
    for is_failing in (False, True, True):
        publish(MandateChanged(mandate.pk, organisation.pk, "confirmed", is_failing, "insufficient_funds", NOW))
    assert sending.work(now=timezone.now()) == 1
    assert "not enough money in the payer's account" in mail.outbox[0].body


def test_without_a_mail_server_letters_wait(
    organisation: Organisation, wallet: Wallet, owner: User, settings: Any
) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = sending.SMTP, ""
    hold(organisation, "a", 600)
    assert sending.work(now=timezone.now()) == 0
    assert letters(state="waiting", attempts=0) == 1


# --- over a real line -------------------------------------------------------------------------------------------------


@pytest.fixture
def sink(settings: Any) -> Iterator[Sink]:
    with Sink() as sink:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = sending.SMTP, "127.0.0.1", sink.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        yield sink


def test_it_arrives_as_text_and_html(organisation: Organisation, wallet: Wallet, owner: User, sink: Sink) -> None:
    hold(organisation, "a", 600)
    assert sending.work(now=timezone.now()) == 1
    (letter,) = sink.letters
    assert f"Message-ID: <letter-{Letter.objects.get().pk}-wallet_low@" in letter
    assert letter.count("Content-Type: text/") == 2


def test_a_server_that_says_no_is_asked_again(
    organisation: Organisation, wallet: Wallet, owner: User, sink: Sink
) -> None:
    hold(organisation, "a", 600)
    sink.mood, now = "refuse", timezone.now()
    assert sending.work(now=now) == 0
    assert sending.work(now=now) == 0  # not before its time
    letter = Letter.objects.get()
    assert (letter.state, letter.attempts) == ("waiting", 1)
    sink.mood = "kind"
    assert sending.work(now=now + timedelta(hours=1)) == 1
    assert len(sink.letters) == 1


def test_a_server_that_is_not_there_loses_nothing(
    organisation: Organisation, wallet: Wallet, owner: User, sink: Sink, settings: Any
) -> None:
    hold(organisation, "a", 600)
    settings.EMAIL_PORT = 1
    assert sending.work(now=timezone.now()) == 0
    settings.EMAIL_PORT = sink.port
    assert sending.work(now=timezone.now() + timedelta(hours=1)) == 1


@pytest.mark.parametrize("mood", ["busy", "hang up"])
def test_what_passes_is_tried_again_ever_later(
    organisation: Organisation, wallet: Wallet, owner: User, sink: Sink, mood: str
) -> None:
    """A busy server, or a line that dies before the letter was handed over."""
    hold(organisation, "a", 600)
    sink.mood, now, waits = mood, timezone.now(), []
    for _turn in range(sending.MOST_ATTEMPTS - 1):
        assert sending.work(now=now) == 0
        letter = Letter.objects.get()
        assert letter.state == "waiting"
        waits.append(letter.next_try_at - now)
        now = letter.next_try_at
    assert waits == sorted(waits)
    assert waits[-1] > 100 * waits[0]
    sink.mood = "kind"
    assert sending.work(now=now) == 1
    assert len(sink.letters) == 1


def test_finance_sends_again_what_was_given_up(
    organisation: Organisation, wallet: Wallet, owner: User, sink: Sink, client: Any, finance: User
) -> None:
    hold(organisation, "a", 600)
    sink.mood = "refuse"
    Letter.objects.exclude(address=owner.email).delete()
    Letter.objects.update(attempts=sending.MOST_ATTEMPTS - 1)
    assert sending.work(now=timezone.now()) == 0
    letter = Letter.objects.get()
    assert letter.state == "given_up"
    sink.mood = "kind"
    finance.is_staff = True
    finance.save()
    client.force_login(finance)
    page = reverse("admin:billing_letter_changelist")
    assert "550" in client.get(page).content.decode()
    client.post(page, {"action": "send_again", "_selected_action": [letter.pk]})
    assert sending.work(now=timezone.now()) == 1
    letter.refresh_from_db()
    assert (letter.state, len(sink.letters)) == ("sent", 1)
    assert AuditEntry.objects.filter(action="letter.send_again", target_id=str(letter.pk)).count() == 1


def test_what_may_have_arrived_is_not_sent_again(
    organisation: Organisation, wallet: Wallet, owner: User, sink: Sink
) -> None:
    hold(organisation, "a", 600)
    sink.mood = "cut"
    assert sending.work(now=timezone.now()) == 0
    sink.mood = "kind"
    assert sending.work(now=timezone.now() + timedelta(days=1)) == 0
    assert (len(sink.letters), Letter.objects.get().state) == (1, "unsure")


def test_a_worker_that_dies_while_it_sends_is_not_repeated(
    organisation: Organisation, wallet: Wallet, owner: User
) -> None:
    hold(organisation, "a", 600)
    now = timezone.now()
    sending._claim(now)  # and there it died
    assert sending.work(now=now + sending.LEASE + timedelta(seconds=1)) == 0
    assert Letter.objects.get().state == "unsure"
    assert mail.outbox == []
