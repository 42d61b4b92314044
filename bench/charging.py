"""Finished sessions of one fleet, ready to be priced and charged: for what a worker does with each."""

from datetime import timedelta


def records(count: int) -> list[int]:
    """CDRs without a price; their sessions were at our own charger, and hold money on the fleet's one wallet."""
    from billing.models import CDR, ChargingSession
    from billing.services import wallets
    from billing.tests.factories import NOON, make_fleet
    from fleetcharge.accounts.models import Organisation

    organisation = Organisation.objects.create(name="Bench charges", slug="bench-charges")
    fleet = make_fleet(organisation, money_paise=10**12)
    whose = {"organisation": organisation, "source": fleet.source, "charger": fleet.charger}
    made = ChargingSession.objects.bulk_create(
        ChargingSession(
            **whose, connector=fleet.connector, transaction_ref=str(n), start_key=f"bench-{organisation.pk}-{n}",
            vehicle=fleet.vehicle, driver=fleet.driver, started_at=NOON + timedelta(hours=n),
            ended_at=NOON + timedelta(hours=n, minutes=30), state="ended", energy_wh=10_000 + n, meter_start_wh=0,
        )
        for n in range(count)
    )  # fmt: skip
    cdrs = CDR.objects.bulk_create(
        CDR(
            organisation=organisation, session=session, started_at=session.started_at,
            ended_at=session.ended_at or NOON,
            energy_wh=session.energy_wh, charging_seconds=1_800,
        )
        for session in made
    )  # fmt: skip
    for session in made:
        wallets.hold(
            organisation_id=organisation.pk, session_key=wallets.hold_key(session.pk), amount_paise=300_00, now=NOON
        )
    return [cdr.pk for cdr in cdrs]
