"""GST registrations of the demo: ours in Karnataka and the fleets', one of them in another state. All invented."""

from billing.gst import gstin as gstins
from billing.invoicing.models import OrganisationRegistration, SupplierRegistration
from fleetcharge.accounts.models import Organisation
from fleetcharge.demo.people import NAMMA, ORGANISATIONS

OURS = ("29", "ZZZCF0000A")
FLEETS = {NAMMA: ("29", "ZZZCN0000B"), "deccan-cabs": ("36", "ZZZCD0000C")}
ADDRESSES = {
    "29": {"address": "1 Demo Street, Ashok Nagar", "city": "Bengaluru", "pin_code": "560025"},
    "36": {"address": "2 Demo Street, Begumpet", "city": "Hyderabad", "pin_code": "500016"},
}  # fmt: skip


def seed_taxes() -> None:
    """What is there already stays as it is."""
    if not SupplierRegistration.objects.exists():
        SupplierRegistration.objects.create(
            gstin=_gstin(*OURS), legal_name="FleetCharge Demo Services Pvt Ltd", state_code=OURS[0], is_default=True,
            terms="A demonstration; not a tax invoice.", **ADDRESSES[OURS[0]],
        )  # fmt: skip
    for slug, (state, pan) in FLEETS.items():
        fleet = Organisation.objects.filter(slug=slug).first()
        if fleet is not None and not fleet.gst_registrations.exists():
            OrganisationRegistration.objects.create(
                organisation=fleet, gstin=_gstin(state, pan), legal_name=f"{ORGANISATIONS[slug][0]} Pvt Ltd",
                state_code=state, is_default=True, **ADDRESSES[state],
            )  # fmt: skip


def _gstin(state: str, pan: str) -> str:
    first = f"{state}{pan}1Z"
    return first + gstins.check_digit(first)
