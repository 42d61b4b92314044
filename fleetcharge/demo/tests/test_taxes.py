"""The demo's fleets are registered, so that a month of the demo city can be closed."""

from billing.invoicing.models import OrganisationRegistration, SupplierRegistration
from fleetcharge.accounts.models import Organisation
from fleetcharge.demo.people import NAMMA
from fleetcharge.demo.taxes import seed_taxes


def test_the_demo_is_registered_once_and_rightly(db: None) -> None:
    for slug in (NAMMA, "deccan-cabs"):
        Organisation.objects.create(slug=slug, name=slug)
    for _ in range(2):
        seed_taxes()
    assert (SupplierRegistration.objects.count(), OrganisationRegistration.objects.count()) == (1, 2)
    for row in [*SupplierRegistration.objects.all(), *OrganisationRegistration.objects.all()]:
        row.full_clean()
