"""Every address that shows a page, and who opens it; `{names}` are of `stage`. The finance admin has its own tests."""

from dataclasses import dataclass

from fleetcharge.accounts.models import User
from ocpp_bridge import pages as charger_pages
from tests.flows.test_strangers import ALL

OWNER, FINANCE, NOBODY, WITHOUT_ROLE = "owner", "finance", "nobody", "without a role"


@dataclass(frozen=True)
class Visit:
    path: str
    who: str = OWNER
    status: int = 200


def by(who: str, *paths: str) -> tuple[Visit, ...]:
    return tuple(Visit(path, who) for path in paths)


CHARGER_TABS = tuple(f"/chargers/{{identity}}/?tab={name}" for name, _label, _icon in charger_pages.TABS)
PAGES: dict[str, tuple[Visit, ...]] = {
    "login/": by(NOBODY, "/login/"),
    "invitations/<str:token>/": (*by(NOBODY, "/invitations/{invitation}/"), Visit("/invitations/no/", NOBODY, 404)),
    "settings/": by(OWNER, "/settings/"),
    "privacy/": (*by(NOBODY, "/privacy/"), *by(OWNER, "/privacy/")),
    "styleguide/": by(NOBODY, "/styleguide/"),
    "api/v1/docs/": by(NOBODY, "/api/v1/docs/"),
    "scan/": by(OWNER, "/scan/", "/scan/?code=nonsense"),
    "wallet/": by(FINANCE, "/wallet/"),
    "wallet/top-up/": by(FINANCE, "/wallet/top-up/"),
    "wallet/top-up/<int:pk>/": by(FINANCE, "/wallet/top-up/{top_up}/"),
    "wallet/codes/<int:pk>/": by(FINANCE, "/wallet/codes/{code}/"),
    "wallet/mandates/": by(FINANCE, "/wallet/mandates/"),
    "wallet/invoices/": by(FINANCE, "/wallet/invoices/"),
    "wallet/limits/": by(FINANCE, "/wallet/limits/"),
    "wallet/approvals/": by(FINANCE, "/wallet/approvals/"),
    "wallet/expenses/": by(FINANCE, "/wallet/expenses/"),
    "wallet/statement/": by(FINANCE, "/wallet/statement/"),
    "chargers/<identity:identity>/": by(OWNER, *CHARGER_TABS),
    "dispatch/": (*by(OWNER, "/dispatch/"), Visit("/dispatch/", WITHOUT_ROLE, 403)),
    "dispatch/stations/<str:public_id>/": by(OWNER, "/dispatch/stations/{site}/", "/dispatch/stations/{large_site}/"),
    "dispatch/vehicles/<int:vehicle_id>/": by(OWNER, "/dispatch/vehicles/{vehicle}/"),
    "dispatch/depots/": by(OWNER, "/dispatch/depots/"),
    "dispatch/depots/<str:public_id>/": by(OWNER, "/dispatch/depots/{depot}/"),
    "dispatch/policies/": by(OWNER, "/dispatch/policies/"),
    "stations/": by(OWNER, "/stations/"),
    "fleet/": (*by(OWNER, "/fleet/", "/fleet/?q=nowhere"), Visit("/fleet/?state=flying", OWNER, 400)),
    "fleet/geofences/": by(OWNER, "/fleet/geofences/"),
    "fleet/connect/": by(OWNER, "/fleet/connect/"),
    "fleet/<int:vehicle_id>/connect/": by(OWNER, "/fleet/{vehicle}/connect/"),
    "sessions/": by(OWNER, "/sessions/"),
    "alerts/": by(OWNER, "/alerts/"),
    "reservations/": by(OWNER, "/reservations/"),
    "reports/": by(OWNER, "/reports/"),
    "reports/chargers/": by(OWNER, "/reports/chargers/?by=port"),
    "monitoring/": by(OWNER, "/monitoring/"),
    "start/": by(OWNER, "/start/"),
    "wall/": by(OWNER, "/wall/"),
    "wall/links/": (*by(OWNER, "/wall/links/"), Visit("/wall/links/", FINANCE, 403)),
    "tv/<str:token>/": (*by(NOBODY, "{screen}"), Visit("/tv/nothing/", NOBODY, 404)),
    "status/<slug:slug>/": by(NOBODY, "/status/namma/"),
    "go/at/<str:code>/": by(NOBODY, "/go/at/{plug}/"),
    "go/<str:token>/": (*by(NOBODY, "{drive}"), Visit("/go/nothing/", NOBODY, 404)),
    "eta/<str:token>/": by(NOBODY, "{arrival}"),
}
ALSO = (Visit("/nothing-here/", OWNER, 404),)

NO_PAGES = {  # files, pieces of a page, figures for machines, and addresses that only take what is sent to them
    "dispatch/policies/save/", "dispatch/policies/begin/", "dispatch/policies/give/",
    "dispatch/policies/<int:experiment_id>/end/",
    "", "healthz/", "logout/", "switch-fleet/", "privacy/mine/", "privacy/erasure/", "i18n/setlang/", "metrics",
    "wallet/open/", "wallet/warning/", "wallet/top-up/paid/", "wallet/top-up/account/", "wallet/mandates/<int:pk>/",
    "wallet/mandates/automatic/", "wallet/invoices/<int:pk>/file/", "wallet/limits/<int:pk>/remove/",
    "wallet/approvals/<int:pk>/", "wallet/statement/file/", "basemap/",
    "basemap/<slug:version>/<int:zoom>/<int:x>/<int:y>.mvt", "charger-files/<uuid:upload_id>/",
    "dispatch/depots/<str:public_id>/plan/", "dispatch/views/", "dispatch/views/<int:view_id>/remove/",
    "tv/<str:token>/api/live/static/",
    "tv/<str:token>/api/live/overlays/",
    "fleet/geofences/save/", "fleet/geofences/<int:geofence_id>/remove/", "fleet/connect/claim/",
    "fleet/<int:vehicle_id>/connect/packets/", "fleet/<int:vehicle_id>/connect/move/",
    "fleet/<int:vehicle_id>/connect/new/", "monitoring/tickets/<int:ticket_id>/", "start/vehicles.csv", "start/demo/",
    "go/worker.js", "go/<str:token>/now/", "go/<str:token>/language/", "go/<str:token>/do/<str:deed>/",
    "eta/<str:token>/now/",
}  # fmt: skip
OURS = {route for route in ALL if not route.startswith(("admin/", "api/v1/"))} | {"api/v1/docs/"}
"""The API speaks JSON to a browser, too."""

OF_AN_EMPTY_FLEET = (
    "/dispatch/", "/start/", "/stations/", "/fleet/", "/sessions/", "/alerts/", "/reservations/", "/reports/",
    "/reports/chargers/", "/monitoring/", "/settings/", "/wallet/", "/wallet/mandates/", "/wallet/statement/",
    "/dispatch/depots/", "/dispatch/policies/", "/fleet/geofences/", "/fleet/connect/", "/wall/",
)  # fmt: skip


def visits() -> list[Visit]:
    """By person, so that few sign in and out."""
    every = [visit for listed in PAGES.values() for visit in listed]
    return sorted([*every, *ALSO], key=lambda visit: visit.who)


def somebody_without_a_role() -> User:
    return User.objects.create_user("new@nowhere.example", "correct horse")
