"""Alerts are kept as codes and parameters; each reader gets words of their own language."""

from datetime import timedelta

import pytest
from django.utils import translation

from dispatch import live_reads, services, wording
from dispatch.models import Alert
from dispatch.services import stories
from dispatch.tests import factories
from dispatch.wording import Says

NOW = factories.NOW


@pytest.fixture(autouse=True)
def _language():
    """A request leaves its language active in this thread."""
    with translation.override("en"):
        yield


@pytest.fixture
def silent(organisation):
    says = Says("vehicle_silent", ("call_the_driver",), {
        "registration": "KA 03 <b>", "soc_percent": 7.4, "position_at": NOW
    })  # fmt: skip
    return services.open_alert(
        organisation_id=organisation.pk, kind="vehicle_silent", dedupe_key="one", says=says, now=NOW
    )


@pytest.mark.django_db
def test_an_alert_keeps_codes_figures_and_english(silent):
    assert (silent.code, silent.body_codes) == ("vehicle_silent", ["call_the_driver"])
    assert silent.parameters == {
        "registration": "KA 03 <b>", "soc_percent": 7.4, "position_at": "2026-03-02T06:30:00+00:00"
    }  # fmt: skip
    assert silent.title == "KA 03 <b> has 7 % and does not report"
    assert silent.body.startswith("Last heard of at 02 Mar 12:00. Call the driver")


@pytest.mark.django_db
def test_the_queue_speaks_the_readers_language(silent, client, dispatcher, organisation):
    Alert.objects.create(
        organisation=organisation, kind="money", title="Old words", body="Kept", dedupe_key="old", revision=9
    )
    client.force_login(dispatcher)
    hindi = client.get("/dispatch/", headers={"Accept-Language": "hi"})
    assert "KA 03 &lt;b&gt; में 7 % चार्ज है और उससे सूचना नहीं आ रही" in hindi.text
    assert "आख़िरी सूचना 02 मा 12:00" in hindi.text
    assert "Old words" in hindi.text
    boot = {alert["code"]: alert["title"] for alert in hindi.context["boot"]["alerts"]}
    assert boot == {"": "Old words", "vehicle_silent": "KA 03 <b> में 7 % चार्ज है और उससे सूचना नहीं आ रही"}
    assert "KA 03 &lt;b&gt; has 7 % and does not report" in client.get("/dispatch/").text


@pytest.mark.django_db
def test_the_api_gives_code_parameters_and_english(silent, client, dispatcher):
    client.force_login(dispatcher)
    alert = client.get("/api/v1/alerts/", headers={"Accept-Language": "hi"}).json()["results"][0]
    assert (alert["code"], alert["body_codes"]) == ("vehicle_silent", ["call_the_driver"])
    assert alert["parameters"]["soc_percent"] == 7.4
    assert alert["title"] == "KA 03 <b> has 7 % and does not report"


@pytest.mark.django_db
def test_one_message_of_the_hub_is_spoken_in_each_language(silent, organisation):
    (message,) = live_reads.alerts_after(organisation.pk, 0)
    hindi, english, other = (live_reads.spoken(message, language) for language in ("hi", "en", "xx"))
    assert hindi["title"] == "KA 03 <b> में 7 % चार्ज है और उससे सूचना नहीं आ रही"
    assert english["title"] == other["title"] == silent.title
    assert "words" not in hindi


@pytest.mark.django_db
def test_a_text_over_a_coded_alert_is_the_text(silent, organisation):
    services.open_alert(
        organisation_id=organisation.pk, kind="money", dedupe_key="one", title="Plain", now=NOW + timedelta(minutes=1)
    )
    silent.refresh_from_db()
    assert (silent.code, silent.body_codes, silent.parameters) == ("", [], {})
    assert wording.told(silent, "Asia/Kolkata", "hi") == {"title": "Plain", "body": ""}


def test_every_code_that_a_plan_can_tell_has_its_sentence():
    lost = {f"plug_{trigger}" for trigger in stories.LOST}
    codes = {*stories.VERBS.values(), *stories.WHY_NOT.values(), *lost, "network_failing", "lacks", "still_drives"}
    assert codes - wording.SENTENCES.keys() == set()
    assert {*stories.PROBLEMS, "out_of_reach", "rerouted", "will_not_reach", "vehicle_low"} <= wording.TITLES.keys()


@pytest.mark.parametrize("code", sorted(wording.TITLES))
def test_a_row_without_what_its_words_name_breaks_no_page(code):
    alert = Alert(code=code, body_codes=sorted(wording.SENTENCES), parameters={})
    for language in ("en", "hi"):
        words = wording.told(alert, "nonsense", language)
        assert words["title"] and "%(" not in words["title"] + words["body"]


def test_a_code_of_a_newer_release_is_told_by_its_text():
    alert = Alert(code="of_tomorrow", body_codes=["too"], title="In English", body="All of it")
    assert wording.told(alert, "Asia/Kolkata", "hi") == {"title": "In English", "body": "All of it"}


def test_refusals_and_reasons_are_words_in_both_languages():
    alert = Alert(code="vehicle_alarm", body_codes=["would_be_refused", "lost_because"], parameters={
        "registration": "KA 1", "alarm": "emergency", "refusal": "wallet_frozen", "reason": "silent"
    })  # fmt: skip
    assert wording.told(alert, "Asia/Kolkata", "en") == {
        "title": "KA 1: Emergency button",
        "body": "A charger would refuse it: the wallet is frozen. The reason: its charger stopped reporting.",
    }
    assert wording.told(alert, "Asia/Kolkata", "hi") == {
        "title": "KA 1: आपातकालीन बटन",
        "body": "चार्जर मना कर देगा: वॉलेट रोका गया है। कारण: चार्जर से सूचना बंद है।",
    }
