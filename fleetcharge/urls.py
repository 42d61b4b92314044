"""Every address of the web process."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from dispatch.onboarding import views as onboarding
from fleetcharge import api_docs, views
from fleetcharge.accounts import privacy
from fleetcharge.accounts.public import public
from fleetcharge.accounts.settings_page import settings_page
from fleetcharge.accounts.sign_in import guarded
from fleetcharge.accounts.views import invitation, invited_address, switch_fleet

urlpatterns = [
    path("", onboarding.home, name="home"),
    path("healthz/", public(views.healthz), name="healthz"),
    path("login/", public(guarded(auth_views.LoginView.as_view(template_name="login.html"))), name="login"),
    path("invitations/<str:token>/", public(guarded(invitation, account_of=invited_address)), name="invitation"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("switch-fleet/", switch_fleet, name="switch-fleet"),
    path("settings/", settings_page, name="settings"),
    path("privacy/", public(privacy.notice), name="privacy"),
    path("privacy/mine/", privacy.own_copy, name="privacy-copy"),
    path("privacy/erasure/", privacy.want_erasure, name="privacy-erasure"),
    path("styleguide/", public(views.styleguide), name="styleguide"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/login/", public(guarded(admin.site.login))),  # before the admin's own, which does not count attempts
    path("admin/", admin.site.urls),
    path("api/v1/schema/", public(SpectacularAPIView.as_view()), name="schema"),
    path("api/v1/docs/", public(api_docs.api_docs), name="api-docs"),
    path("api/v1/", include("fleetcharge.webhooks.urls")),
    path("api/v1/", include("stations.urls")),
    path("api/v1/", include("vehicles.urls")),
    path("api/v1/", include("billing.urls")),
    path("api/v1/", include("billing.payments.urls")),
    path("scan/", include("stations.cpo.ubc.urls")),
    path("wallet/", include("billing.pages.urls")),
    path("basemap/", include("dispatch.basemap.urls")),
    path("", include("ocpp_bridge.urls")),
    path("", include("dispatch.urls")),
]

handler400 = "fleetcharge.views.bad_request"
handler403 = "fleetcharge.views.forbidden"
handler404 = "fleetcharge.views.not_found"
handler500 = "fleetcharge.views.server_error"
