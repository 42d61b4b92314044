"""Four steps of an empty fleet: what is done is counted from rows; a file of vehicles is taken whole or not at all."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from dispatch.onboarding import file
from dispatch.tests import factories
from fleetcharge.accounts.models import AuditEntry
from vehicles.models import Vehicle

pytestmark = pytest.mark.django_db
ME = {"actor": None, "actor_label": "test"}


@pytest.fixture
def model():
    return factories.vehicle_model()


@pytest.fixture
def desk(client, dispatcher):
    client.force_login(dispatcher)
    return client


def upload(client, text):
    content = text if isinstance(text, bytes) else text.encode()
    return client.post("/start/", {"file": SimpleUploadedFile("v.csv", content)}, follow=True)


def test_the_sample_file_can_be_uploaded_as_it_is(desk, organisation, model):
    sample = desk.get("/start/vehicles.csv").content
    answer = upload(desk, sample)
    assert answer.status_code == 200
    added = Vehicle.objects.for_organisation(organisation).count()
    assert added >= 1
    assert answer.context["steps"].vehicles == added
    assert AuditEntry.objects.filter(action="vehicles.import", organisation=organisation).count() == 1
    upload(desk, sample)
    assert Vehicle.objects.for_organisation(organisation).count() == added
    assert AuditEntry.objects.filter(action="vehicles.import").count() == 1


def test_every_wrong_line_is_named_and_nothing_is_stored(desk, organisation, model):
    lines = [
        "registration,model,cost_centre", f"KA 01 AA 0001,{model},Pune", ",Tata Ace EV,", "KA 01 AA 0002,Moon buggy,",
        f"ka01aa0001,{model},", f"KA 01 AA 00000000000003,{model},",
    ]  # fmt: skip
    answer = upload(desk, "\n".join(lines))
    assert answer.status_code == 400
    assert [problem.number for problem in answer.context["problems"]] == [3, 4, 5, 6]
    assert "Moon buggy" in answer.content.decode()
    assert not Vehicle.objects.for_organisation(organisation).exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"plate;type\nKA 1;x", b"x" * (file.MOST_BYTES + 1)])
def test_a_file_of_which_nothing_can_be_made_is_refused_in_words(desk, content, model):
    answer = upload(desk, content) if content else desk.post("/start/", {})
    assert answer.status_code == 400
    assert answer.context["refusal"]
    assert not Vehicle.objects.exists()


def test_semicolons_capitals_and_unknown_columns_are_understood(organisation, model):
    text = f"\ufeffRegistration;MODEL;Colour\nKA 01 AA 0001;{str(model).upper()};red\n;;\n"
    outcome = file.take(organisation=organisation, content=text.encode(), **ME)
    assert (outcome.added, outcome.ignored) == (1, ["colour"])


def test_plates_of_other_fleets_do_not_matter(organisation, other_organisation, model):
    text = f"registration,model\nKA 01 AA 0001,{model}\n".encode()
    for fleet in (organisation, other_organisation):
        assert file.take(organisation=fleet, content=text, **ME).added == 1


def test_steps_are_counted_from_what_is_there(desk, organisation, other_organisation):
    factories.vehicle(other_organisation)
    steps = desk.get("/start/").context["steps"]
    assert (steps.vehicles, steps.reporting, steps.networks, steps.has_money, steps.done) == (0, 0, 0, False, 0)
    factories.vehicle(organisation)
    factories.public_network(organisation)
    steps = desk.get("/start/").context["steps"]
    assert (steps.vehicles, steps.reporting, steps.networks, steps.has_money, steps.done) == (1, 1, 1, True, 4)


def test_it_is_for_who_may_change_vehicles(client, finance, model):
    client.force_login(finance)
    assert client.get("/start/").status_code == 403
    assert upload(client, f"registration,model\nKA 1,{model}").status_code == 403
    assert not Vehicle.objects.exists()


def test_an_empty_fleet_begins_at_the_first_step_and_others_at_the_live_page(client, dispatcher, finance, organisation):
    asked = {"username": dispatcher.email, "password": "correct horse"}
    assert client.post("/login/", asked, follow=True).redirect_chain[-1] == ("/start/", 302)
    factories.vehicle(organisation)
    assert client.get("/", follow=True).redirect_chain == [("/dispatch/", 302)]
    Vehicle.objects.all().delete()
    assert client.get("/", follow=True).redirect_chain == [("/start/", 302)]
    unit = factories.charger(factories.location(factories.source(organisation)), organisation)
    assert client.get("/", follow=True).redirect_chain == [("/dispatch/", 302)]
    unit.delete()
    client.force_login(finance)
    assert client.get("/", follow=True).redirect_chain == [("/dispatch/", 302)]
