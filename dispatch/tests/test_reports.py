"""Reports: energy, cost and CO2 of final records; use, downtime and NEVI uptime of own ports; own rows only."""

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.models import CDR, ChargingSession
from dispatch.reports import chargers, energy
from dispatch.reports.periods import Period
from dispatch.reports.uptime import Time, together
from dispatch.reports.views import CHARGER_FIELDS, ENERGY_FIELDS
from dispatch.templatetags.report import hours, kilogram
from dispatch.tests import factories
from dispatch.tests.test_tables import sheet_of
from stations.models import EVSE, Charger, Connector, MaintenanceTicket, StatusChange

IST = ZoneInfo("Asia/Kolkata")
BEGIN = datetime(2026, 2, 1, tzinfo=IST)
FEBRUARY = Period(date(2026, 2, 1), date(2026, 2, 28), IST)
LATER = datetime(2026, 6, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAYS = {"since": "2026-02-01", "until": "2026-02-28"}


@pytest.fixture
def own(organisation):
    return factories.source(organisation)


def port(organisation, network, *, status="available", place=None, plugs=1):
    """An own charger with one EVSE, known since long before."""
    place = place or factories.location(network)
    unit = factories.charger(place, organisation)
    Charger.objects.filter(pk=unit.pk).update(created_at=BEGIN - timedelta(days=100))
    plug = factories.connector(place, charger=unit, status=status)
    for number in range(2, plugs + 1):
        Connector.objects.create(evse=plug.evse, connector_id=number, plug="chademo", status=status)
    return plug


def change(plug, at, new, old="available"):
    StatusChange.objects.create(connector=plug, old=old, new=new, at=at)


def session(organisation, plug, *, began, lasted=HOUR, vehicle=None, energy_wh=10_000, paise=20_000, state="ended"):
    row = ChargingSession.objects.create(
        organisation=organisation, source=plug.evse.location.source, connector=plug, vehicle=vehicle, state=state,
        transaction_ref=f"T{began.timestamp():.0f}{plug.pk}", start_key=f"S{began.timestamp():.0f}{plug.pk}",
        started_at=began, ended_at=began + lasted if state == "ended" else None, energy_wh=energy_wh,
    )  # fmt: skip
    if state == "ended":
        priced = {} if paise is None else {
            "total_paise": paise, "taxable_paise": paise, "tax_paise": 0, "rated_at": began + lasted,
        }  # fmt: skip
        CDR.objects.create(
            organisation=organisation, session=row, started_at=began, ended_at=began + lasted, energy_wh=energy_wh,
            **priced,
        )  # fmt: skip
    return row


def rows_read(plan, name):
    """How many rows of this part of a statement the others looked at, those that they left out, too."""
    looked = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if plan.get("CTE Name") == name else 0
    return looked * plan["Actual Loops"] + sum(rows_read(child, name) for child in plan.get("Plans", []))


def only(organisation, by=chargers.By.STATION, period=FEBRUARY, now=LATER):
    (line,) = chargers.lines(organisation, period, by, now=now)
    return line


@pytest.mark.django_db
class TestUptime:
    def test_it_is_the_formula_of_nevi_for_a_year(self):
        year_s, outage_s, excluded_s = 525_600 * 60, 300 * 3600, 40 * 3600
        time = Time(year_s, outage_s, excluded_s, 0)
        assert time.uptime_percent == pytest.approx((525_600 - (300 * 60 - 40 * 60)) / 525_600 * 100)
        assert not time.is_below
        assert Time(year_s, 263 * 3600 + 60, 0, 0).is_below
        assert Time().uptime_percent is None

    def test_time_from_fault_to_repair_is_down(self, organisation, own):
        plug = port(organisation, own)
        change(plug, BEGIN + 10 * HOUR, "faulted")
        change(plug, BEGIN + 13 * HOUR, "available", "faulted")
        time = only(organisation).time
        assert (time.measured_s, time.outage_s, time.excluded_s) == (28 * 86_400, 3 * 3600, 0)
        assert time.uptime_percent == pytest.approx(100 * (28 * 24 - 3) / (28 * 24))

    def test_what_was_said_before_the_period_holds_at_its_beginning(self, organisation, own):
        plug = port(organisation, own)
        change(plug, BEGIN - 50 * HOUR, "unknown")
        change(plug, BEGIN + 2 * HOUR, "available", "unknown")
        assert only(organisation).time.outage_s == 2 * 3600

    def test_without_any_history_the_first_change_tells_what_was_before_it(self, organisation, own):
        plug = port(organisation, own)
        change(plug, BEGIN + 5 * HOUR, "available", "unavailable")
        assert only(organisation).time.outage_s == 5 * 3600

    def test_a_port_is_down_only_while_all_its_plugs_are(self, organisation, own):
        plug = port(organisation, own, plugs=2)
        second = plug.evse.connectors.get(connector_id=2)
        for one, hours_down in ((plug, (1, 5)), (second, (4, 9))):
            change(one, BEGIN + hours_down[0] * HOUR, "faulted")
            change(one, BEGIN + hours_down[1] * HOUR, "available", "faulted")
        assert only(organisation).time.outage_s == 3600

    def test_a_silent_port_that_gives_energy_is_up(self, organisation, own):
        plug = port(organisation, own)
        change(plug, BEGIN, "unknown")
        change(plug, BEGIN + 6 * HOUR, "available", "unknown")
        session(organisation, plug, began=BEGIN + HOUR, lasted=2 * HOUR)
        session(organisation, plug, began=BEGIN + 4 * HOUR, energy_wh=0)
        time = only(organisation).time
        assert (time.outage_s, time.busy_s) == (4 * 3600, 3 * 3600)

    def test_planned_work_is_not_counted_and_proposed_work_is(self, organisation, own):
        plug = port(organisation, own)
        change(plug, BEGIN, "unavailable")
        change(plug, BEGIN + 8 * HOUR, "available", "unavailable")
        ticket = MaintenanceTicket.objects.create(
            organisation=organisation, charger=plug.evse.charger, cause="faults", score=40, opened_at=BEGIN,
            slot_starts_at=BEGIN + 7 * HOUR, slot_ends_at=BEGIN + 9 * HOUR,
        )  # fmt: skip
        assert only(organisation).time.excluded_s == 0
        MaintenanceTicket.objects.filter(pk=ticket.pk).update(state="planned")
        time = only(organisation).time
        assert (time.outage_s, time.excluded_s) == (8 * 3600, 3600)

    def test_time_before_a_charger_came_and_after_now_is_no_time(self, organisation, own):
        plug = port(organisation, own)
        Charger.objects.filter(pk=plug.evse.charger_id).update(created_at=BEGIN + 24 * HOUR)
        assert only(organisation, now=BEGIN + 48 * HOUR).time.measured_s == 24 * 3600
        assert chargers.lines(organisation, FEBRUARY, chargers.By.STATION, now=BEGIN - HOUR) == []

    def test_time_before_its_first_word_is_no_time_and_one_that_never_said_any_is_down(self, organisation, own):
        plug = port(organisation, own, status="unknown")
        assert only(organisation).time.outage_s == 28 * 24 * 3600
        change(plug, BEGIN + 24 * HOUR, "available", old="unknown")
        change(plug, BEGIN + 30 * HOUR, "unknown")
        change(plug, BEGIN + 31 * HOUR, "available", old="unknown")
        time = only(organisation).time
        assert (time.measured_s, time.outage_s) == (27 * 24 * 3600, 3600)
        Connector.objects.create(evse=plug.evse, connector_id=2, plug="chademo", status="available")  # was always there
        assert only(organisation).time.measured_s == 28 * 24 * 3600

    def test_months_and_ports_add_up_to_the_whole(self, organisation, own):
        place = factories.location(own)
        for number in range(3):
            plug = port(organisation, own, place=place)
            change(plug, BEGIN + number * 300 * HOUR, "faulted")
        long = Period(date(2026, 2, 1), date(2026, 4, 30), IST)
        whole = only(organisation, period=long)
        assert (whole.ports, whole.ports_below) == (3, 3)
        for by, count in ((chargers.By.MONTH, 3), (chargers.By.PORT, 3)):
            lines = chargers.lines(organisation, long, by, now=LATER)
            assert len(lines) == count
            assert together(line.time for line in lines) == whole.time

    def test_another_fleets_and_removed_ports_are_not_ours(self, organisation, other_organisation, own):
        plug = port(organisation, own)
        port(other_organisation, factories.source(other_organisation))
        port(other_organisation, factories.public_network(organisation))
        EVSE.objects.filter(pk=port(organisation, own).evse_id).update(is_removed=True)
        assert only(organisation, chargers.By.PORT).charger == plug.evse.charger.ocpp_identity

    def test_however_many_ports_it_is_one_statement(self, organisation, own):
        for _number in range(5):
            change(port(organisation, own), BEGIN + HOUR, "faulted")
        with CaptureQueriesContext(connection) as queries:
            chargers.lines(organisation, FEBRUARY, chargers.By.PORT, now=LATER)
        assert len(queries) == 1

    def test_the_sessions_of_one_port_are_not_read_again_for_every_other(self, organisation, own):
        for _number in range(6):
            plug = port(organisation, own)
            for day in range(5):
                session(organisation, plug, began=BEGIN + day * 10 * 24 * HOUR)
        months = list(Period(date(2026, 2, 1), date(2026, 3, 31), IST).months())
        counts = [one.sessions for one in chargers.ports(organisation, months, now=LATER)]
        assert counts == 6 * [3, 2]
        with connection.cursor() as cursor:
            statement = "EXPLAIN (ANALYZE, FORMAT JSON) " + chargers._STATEMENT
            cursor.execute(statement, chargers._values(organisation, months, LATER))
            ((told,),) = cursor.fetchall()
        (plan,) = json.loads(told) if isinstance(told, str) else told
        assert rows_read(plan["Plan"], "used") <= 30


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 27 * 24), st.sampled_from(["available", "charging", "faulted", "unknown"])),
        min_size=1, max_size=12, unique_by=lambda told: told[0],
    )
)  # fmt: skip
@pytest.mark.django_db
def test_downtime_is_what_an_hour_by_hour_count_finds(told):
    """The oracle: one status per hour, in the order of time."""
    from fleetcharge.accounts.models import Organisation

    fleet, _made = Organisation.objects.get_or_create(slug="oracle", defaults={"name": "Oracle"})
    EVSE.objects.all().update(is_removed=True)
    plug = port(fleet, factories.source(fleet))
    said, old = dict(told), "available"
    for hour in sorted(said):
        change(plug, BEGIN + hour * HOUR, said[hour], old)
        old = said[hour]
    now, down = "available", 0
    for hour in range(28 * 24):
        now = said.get(hour, now)
        down += now in {"faulted", "unknown"}
    assert only(fleet).time.outage_s == down * 3600


@pytest.mark.django_db
class TestEnergy:
    def test_it_sums_by_station_vehicle_and_month(self, organisation, own):
        near, far = factories.connector(factories.location(own)), factories.connector(factories.location(own))
        van = factories.vehicle(organisation)
        session(organisation, near, began=BEGIN + HOUR, vehicle=van)
        session(organisation, near, began=BEGIN + 30 * 24 * HOUR, energy_wh=5_000)
        session(organisation, far, began=BEGIN + 2 * HOUR, energy_wh=30_000, paise=None)
        two = Period(date(2026, 2, 1), date(2026, 3, 31), IST)
        stations = energy.lines(organisation, two, energy.By.STATION)
        assert [(one.sessions, one.unpriced, one.energy_wh, one.cost_paise) for one in stations] == [
            (1, 1, 30_000, 0), (2, 0, 15_000, 40_000),
        ]  # fmt: skip
        vehicles = {one.name: one.energy_wh for one in energy.lines(organisation, two, energy.By.VEHICLE)}
        assert vehicles == {van.registration: 10_000, "": 35_000}
        months = energy.lines(organisation, two, energy.By.MONTH)
        assert [(one.key, one.energy_wh, one.seconds) for one in months] == [
            ("2026-02", 40_000, 7200), ("2026-03", 5_000, 3600),
        ]  # fmt: skip

    def test_what_has_no_price_yet_makes_no_kwh_and_no_km_cheaper(self, organisation, own):
        plug, van = factories.connector(factories.location(own)), factories.vehicle(organisation)
        session(organisation, plug, began=BEGIN + HOUR, vehicle=van, energy_wh=10_000, paise=20_000)
        session(organisation, plug, began=BEGIN + 9 * HOUR, vehicle=van, energy_wh=30_000, paise=None)
        (line,) = energy.lines(organisation, FEBRUARY, energy.By.STATION)
        assert (line.energy_wh, line.priced_wh, line.paise_per_kwh) == (40_000, 10_000, 2_000)
        assert energy.total([line, line]).paise_per_kwh == 2_000
        driven = replace(line, distance_m=100_000)
        assert (driven.paise_per_km, replace(driven, unpriced=0).paise_per_km) == (None, 200)

    def test_what_a_kwh_costs_is_unknown_while_nothing_has_a_price(self, organisation, own):
        session(organisation, factories.connector(factories.location(own)), began=BEGIN + HOUR, paise=None)
        (line,) = energy.lines(organisation, FEBRUARY, energy.By.STATION)
        assert (line.cost_paise, line.paise_per_kwh) == (0, None)

    def test_the_day_is_the_fleets_own(self, organisation, own):
        plug = factories.connector(factories.location(own))
        session(organisation, plug, began=BEGIN - HOUR, lasted=timedelta(minutes=59))
        session(organisation, plug, began=BEGIN - 2 * HOUR, lasted=2 * HOUR, energy_wh=7_000)
        (line,) = energy.lines(organisation, FEBRUARY, energy.By.MONTH)
        assert (line.key, line.energy_wh) == ("2026-02", 7_000)

    def test_co2_is_by_the_factor_of_the_day(self, organisation, own, settings):
        settings.GRID_FACTORS = [(date(2026, 2, 1), 700, "old"), (date(2026, 2, 15), 500, "new")]
        plug = factories.connector(factories.location(own))
        for day in (-3, 3, 20):
            session(organisation, plug, began=BEGIN + day * 24 * HOUR)
        (line,) = energy.lines(organisation, FEBRUARY, energy.By.STATION)
        assert line.emitted_g == 10 * 700 + 10 * 500
        (before,) = energy.lines(organisation, Period(date(2026, 1, 1), date(2026, 1, 31), IST), energy.By.STATION)
        assert before.emitted_g == 10 * 700

    def test_corrections_count_with_their_session(self, organisation, own):
        plug = factories.connector(factories.location(own))
        row = session(organisation, plug, began=BEGIN + HOUR)
        row.cdr.adjustments.create(
            number=1, started_at=row.started_at, ended_at=row.ended_at, energy_wh=8_000, charging_seconds=0,
            idle_seconds=0, taxable_paise=-4_000, cgst_paise=0, sgst_paise=0, igst_paise=0, tax_paise=0,
            total_paise=-4_000, reason="late", created_at=LATER,
        )  # fmt: skip
        ChargingSession.objects.filter(pk=row.pk).update(adjusted_paise=-4_000)
        (line,) = energy.lines(organisation, FEBRUARY, energy.By.STATION)
        assert (line.energy_wh, line.cost_paise, line.paise_per_kwh) == (8_000, 16_000, 2_000)


@pytest.fixture
def desk(client, dispatcher):
    client.force_login(dispatcher)
    return client


def records(answer):
    return list(csv.DictReader(io.StringIO(answer.content.decode().removeprefix("\ufeff"))))


@pytest.mark.django_db
class TestPages:
    @pytest.mark.parametrize("by", ["station", "vehicle", "month"])
    def test_energy_on_the_page_and_in_the_file(self, desk, organisation, own, by):
        session(organisation, factories.connector(factories.location(own)), began=BEGIN + HOUR)
        answer = desk.get("/reports/", {**DAYS, "by": by})
        assert answer.status_code == 200
        assert "10.0 kWh" in answer.content.decode()
        (record,) = records(desk.get("/reports/", {**DAYS, "by": by, "export": "csv"}))
        assert (record["sessions"], record["energy_kwh"], record["cost_rupees"]) == ("1", "10.000", "200.00")

    @pytest.mark.parametrize("by", ["station", "port", "month"])
    def test_uptime_on_the_page_and_in_the_file(self, desk, organisation, own, by):
        change(port(organisation, own), BEGIN + HOUR, "faulted")
        answer = desk.get("/reports/chargers/", {**DAYS, "by": by})
        assert answer.status_code == 200
        assert "0.15 %" in answer.content.decode()
        (record,) = records(desk.get("/reports/chargers/", {**DAYS, "by": by, "export": "csv"}))
        assert (record["outage_minutes"], record["uptime_percent"]) == (f"{(28 * 24 - 1) * 60:.1f}", "0.149")

    def test_each_report_is_a_sheet_of_figures_that_add_up(self, desk, organisation, own):
        place = factories.location(own, name="=1+1")
        session(organisation, factories.connector(place), began=BEGIN + HOUR)
        head, row = sheet_of(desk.get("/reports/", {**DAYS, "export": "xlsx"}))
        assert tuple(head.values()) == ENERGY_FIELDS
        assert (row["A"], float(row["D"]), float(row["F"])) == ("=1+1", 10, 200)
        port(organisation, own)
        head, *rows = sheet_of(desk.get("/reports/chargers/", {**DAYS, "export": "xlsx"}))
        assert tuple(head.values()) == CHARGER_FIELDS and len(rows) == 1
        assert float(rows[0]["E"]) == 28 * 24 * 60

    @pytest.mark.parametrize("path", ["/reports/", "/reports/chargers/"])
    def test_a_stranger_sees_and_exports_nothing(self, client, stranger, organisation, own, path):
        plug = port(organisation, own)
        session(organisation, plug, began=BEGIN + HOUR)
        client.force_login(stranger)
        assert client.get(path, DAYS).context.get("rows") == []
        assert records(client.get(path, {**DAYS, "export": "csv"})) == []

    @pytest.mark.parametrize("path", ["/reports/", "/reports/chargers/"])
    @pytest.mark.parametrize(
        "asked",
        [{"since": "2026-02-02", "until": "2026-02-01"}, {"since": "nonsense"}, {"by": "moon"},
         {"since": "2020-01-01", "until": "2026-01-01"}, {"since": "9999-12-31"}],
    )  # fmt: skip
    def test_what_makes_no_sense_is_said(self, desk, path, asked):
        answer = desk.get(path, asked)
        assert answer.status_code == 400
        assert 'role="alert"' in answer.content.decode()

    @pytest.mark.parametrize("path", ["/reports/", "/reports/chargers/"])
    def test_without_days_it_is_the_last_thirty(self, desk, path):
        period = desk.get(path).context["period"]
        assert period.last == timezone.localdate()
        assert (period.last - period.first).days == 29

    def test_a_name_stays_a_name(self, desk, organisation, own):
        place = factories.location(own, name="=cmd|' /C calc'!A0 <script>")
        session(organisation, factories.connector(place), began=BEGIN + HOUR)
        assert "A0 <script>" not in desk.get("/reports/", DAYS).content.decode()
        (record,) = records(desk.get("/reports/", {**DAYS, "export": "csv"}))
        assert record["name"].startswith("'=")


def test_hours_and_kilograms_read_as_india_groups_them():
    seconds = (None, 0, 90, 5_400, 360_000_000)
    assert [hours(value) for value in seconds] == ["–", "0.0 h", "2 min", "1.5 h", "1,00,000.0 h"]
    grams = (None, 0, 123_456, 12_345_678_000)
    assert [kilogram(value) for value in grams] == ["–", "0.0 kg", "123.5 kg", "12,345.7 t"]
