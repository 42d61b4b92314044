"""Which plug a driver means: by the code on it, read by a camera or typed by hand."""

from urllib.parse import unquote, urlsplit

from django.db.models import Q, QuerySet

from dispatch.models import ChargePlan
from stations.cpo.ubc import qr
from stations.cpo.ubc.pages import connectors_behind
from stations.models import Connector
from vehicles.models import Vehicle

OUR_STICKER = "/go/at/"
"""The address on a plug of ours is <public address>/go/at/<EVSE id>/."""


class UnknownCode(Exception):
    """`code` is unknown_plug, or several_plugs where it does not say which."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def plug_behind(text: str, vehicle: Vehicle, plan: ChargePlan | None) -> Connector:
    """The one connector that is meant, of those the vehicle's fleet may charge at. Raises UnknownCode."""
    text = text.strip()[: qr.MAX_LENGTH]
    usable = Connector.objects.usable_by(vehicle.organisation)
    found = list(usable.filter(pk__in=_meant(text, vehicle, plan).values("pk")).order_by("pk")[:20])
    fitting = [plug for plug in found if plug.plug in vehicle.model.plugs] or found
    planned = [plug for plug in fitting if plan is not None and plug.pk == plan.connector_id]
    if not fitting:
        raise UnknownCode("unknown_plug")
    if len(fitting) > 1 and not planned:
        raise UnknownCode("several_plugs")
    return (planned or fitting)[0]


def _meant(text: str, vehicle: Vehicle, plan: ChargePlan | None) -> QuerySet[Connector]:
    try:
        address = urlsplit(text) if "://" in text else None
    except ValueError:
        return Connector.objects.none()
    if address is not None and OUR_STICKER in address.path:
        text = unquote(address.path.split(OUR_STICKER, 1)[1]).strip("/")
    elif address is not None:
        return _of_network(text, vehicle)
    if not text or not text.isprintable():
        return Connector.objects.none()
    here = _at_the_site(text, plan)  # first: elsewhere, or in another fleet, `2` may be an EVSE's uid
    named = Q(evse__public_id__iexact=text) | Q(public_id__iexact=text) | Q(evse__uid__iexact=text)
    exact = Connector.objects.filter(named | Q(evse__charger__ocpp_identity__iexact=text))
    return here if here.exists() else exact


def _of_network(text: str, vehicle: Vehicle) -> QuerySet[Connector]:
    try:
        return connectors_behind(qr.read(text), vehicle.organisation)
    except qr.BadCode:
        return Connector.objects.none()


def _at_the_site(text: str, plan: ChargePlan | None) -> QuerySet[Connector]:
    """`2` is the bay that the page calls so, where the plan leads."""
    if plan is None or plan.connector is None:
        return Connector.objects.none()
    is_called = Q(evse__physical_reference__iexact=text) | Q(evse__physical_reference="", evse__uid__iexact=text)
    return Connector.objects.existing().filter(is_called, evse__location_id=plan.connector.evse.location_id)
