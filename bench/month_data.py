"""A month of many fleets for the month run: a few real sessions, copied row by row with their charges."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

MONTH = date(2026, 11, 1)
FIRST = datetime(2026, 11, 2, 4, tzinfo=UTC)
PAID_PAISE = 1_000_000_000_00
SITES = 8

# Triggers are off while copies are made (they would look at each row); what they keep true is true of the originals,
# and the close proves it of the copies.
_COPIES = {
    "fleetcharge": """
        INSERT INTO accounts_organisation SELECT r.* FROM accounts_organisation t, generate_series(1, %(fleets)s) f,
        LATERAL jsonb_populate_record(t, jsonb_build_object(
            'id', t.id + f, 'slug', 'fleet-' || f, 'name', 'Fleet ' || f)) r
        WHERE t.id = %(organisation)s""",
    "accounts": """
        INSERT INTO billing_ledgeraccount SELECT r.* FROM billing_ledgeraccount t, generate_series(1, %(fleets)s) f,
        LATERAL jsonb_populate_record(t, jsonb_build_object(
            'id', t.id * 1000000 + f, 'organisation_id', %(organisation)s + f,
            'code', split_part(t.code, ':', 1) || ':' || (%(organisation)s + f))) r
        WHERE t.organisation_id = %(organisation)s""",
    "wallets": """
        INSERT INTO billing_wallet SELECT r.* FROM billing_wallet t, generate_series(1, %(fleets)s) f,
        LATERAL jsonb_populate_record(t, jsonb_build_object(
            'account_id', t.account_id * 1000000 + f, 'organisation_id', %(organisation)s + f)) r
        WHERE t.organisation_id = %(organisation)s""",
    "registrations": """
        INSERT INTO billing_organisationregistration SELECT r.* FROM billing_organisationregistration t,
        generate_series(1, %(fleets)s) f, LATERAL jsonb_populate_record(t, jsonb_build_object(
            'id', t.id + f, 'organisation_id', %(organisation)s + f, 'legal_name', 'Fleet ' || f || ' Pvt Ltd')) r
        WHERE t.organisation_id = %(organisation)s""",
    "vehicles": """
        INSERT INTO vehicles_vehicle SELECT r.* FROM vehicles_vehicle t, generate_series(1, %(fleets)s) f,
        LATERAL jsonb_populate_record(t, jsonb_build_object(
            'id', t.id + 100 * f, 'organisation_id', %(organisation)s + f, 'device_id', NULL,
            'default_driver_id', NULL, 'public_id', gen_random_uuid())) r
        WHERE t.organisation_id = %(organisation)s""",
    "sessions": """
        CREATE TEMPORARY TABLE copies AS
        SELECT t.id AS original, row_number() OVER () + 1000000 AS id, f, n,
            ((n / %(sites)s) || ' minutes')::interval * %(minutes)s AS later
        FROM generate_series(1, %(fleets)s) f, generate_series(0, %(sessions)s - 1) n
        JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM billing_chargingsession
              WHERE organisation_id = %(organisation)s) t ON t.place = n %% %(sites)s;
        CREATE INDEX ON copies (original);
        INSERT INTO billing_chargingsession SELECT r.* FROM billing_chargingsession t
        JOIN copies c ON c.original = t.id, LATERAL jsonb_populate_record(t, jsonb_build_object(
            'id', c.id, 'organisation_id', %(organisation)s + f, 'vehicle_id', t.vehicle_id + 100 * f,
            'transaction_ref', 'm' || c.id, 'start_key', 'm' || c.id, 'id_token_id', NULL, 'driver_id', NULL,
            'started_at', t.started_at + later, 'ended_at', t.ended_at + later)) r""",
    "records": """
        INSERT INTO billing_cdr SELECT r.* FROM billing_cdr t JOIN copies c ON c.original = t.session_id,
        LATERAL jsonb_populate_record(t, jsonb_build_object(
            'id', c.id, 'organisation_id', %(organisation)s + f, 'session_id', c.id,
            'started_at', t.started_at + later, 'ended_at', t.ended_at + later)) r""",
    "verdicts": """
        INSERT INTO billing_reconciliationverdict SELECT r.* FROM billing_reconciliationverdict t
        JOIN copies c ON c.original = t.session_id,
        LATERAL jsonb_populate_record(t, jsonb_build_object('id', c.id, 'session_id', c.id)) r""",
    "charges": """
        INSERT INTO billing_ledgertransfer SELECT r.* FROM billing_ledgertransfer t
        JOIN copies c ON c.original = t.session_id,
        LATERAL jsonb_populate_record(t, jsonb_build_object(
            'id', c.id * 10 + t.leg, 'organisation_id', %(organisation)s + f, 'session_id', c.id,
            'entry_key', 'charge:' || c.id, 'debit_id', t.debit_id * 1000000 + f, 'vehicle_id', NULL,
            'driver_ref', NULL, 'occurred_at', t.occurred_at + later)) r
        WHERE t.kind = 'charge'""",
    "top-ups": """
        INSERT INTO billing_ledgertransfer SELECT r.* FROM billing_ledgertransfer t, generate_series(1, %(fleets)s) f,
        LATERAL jsonb_populate_record(t, jsonb_build_object(
            'id', 500000 + f, 'organisation_id', %(organisation)s + f, 'entry_key', 'topup:bench:' || f,
            'credit_id', t.credit_id * 1000000 + f)) r
        WHERE t.kind = 'top_up'""",
    "balances": """
        UPDATE billing_wallet w SET held_paise = 0, posted_paise =
            COALESCE((SELECT sum(amount_paise) FROM billing_ledgertransfer WHERE credit_id = w.account_id), 0)
          - COALESCE((SELECT sum(amount_paise) FROM billing_ledgertransfer WHERE debit_id = w.account_id), 0)""",
}  # fmt: skip
_SEQUENCES = (
    "accounts_organisation", "billing_ledgeraccount", "billing_organisationregistration", "vehicles_vehicle",
    "billing_chargingsession", "billing_cdr", "billing_reconciliationverdict", "billing_ledgertransfer",
)  # fmt: skip


def make(*, organisations: int, sessions: int) -> None:
    """One fleet of SITES sessions (the template, which is closed too), and as many fleets that have copies of them."""
    template = _template()
    values: dict[str, Any] = {
        "fleets": organisations, "sessions": sessions, "sites": SITES, "organisation": template,
        "minutes": 27 * 24 * 60 // max(1, sessions // SITES + 1),
    }  # fmt: skip
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for query in _COPIES.values():
            for statement in query.split(";"):
                cursor.execute(statement, values)
        for table in _SEQUENCES:
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
        cursor.execute("DROP TABLE copies")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _template() -> int:
    """A fleet whose sessions at SITES sites of ours went the whole way; returns its organisation."""
    from billing.tests.factories import make_fleet, make_site, make_tariff
    from billing.tests.invoicing import charge, make_registration, make_supplier
    from fleetcharge.accounts.models import Organisation
    from stations.models import EVSE, Connector

    organisation = Organisation.objects.create(name="Fleet 0", slug="fleet-0")
    make_supplier()
    make_registration(organisation)
    fleet = make_fleet(organisation, money_paise=PAID_PAISE)
    for number in range(SITES):
        if number:
            source, location = make_site(organisation)
            fleet.charger.pk, fleet.charger.ocpp_identity, fleet.charger.location = None, f"S{number}", location
            fleet.charger._state.adding = True
            fleet.charger.save()
            evse = EVSE.objects.create(location=location, charger=fleet.charger, evse_number=1)
            Connector.objects.create(
                evse=evse, connector_id=1, plug="ccs2", max_power_w=60_000, tariff=make_tariff(source)
            )
        charge(fleet, at=FIRST + timedelta(hours=number), energy_wh=9_000 + 137 * number, minutes=40 + number)
    return organisation.pk
