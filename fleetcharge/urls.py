"""Every address of the web process."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView

from fleetcharge import api_docs, views
from fleetcharge.accounts.public import public
from fleetcharge.accounts.views import invitation

urlpatterns = [
    path("", RedirectView.as_view(url="/dispatch/"), name="home"),
    path("healthz/", public(views.healthz), name="healthz"),
    path("login/", public(auth_views.LoginView.as_view(template_name="login.html")), name="login"),
    path("invitations/<str:token>/", public(invitation), name="invitation"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
    path("api/v1/schema/", public(SpectacularAPIView.as_view()), name="schema"),
    path("api/v1/docs/", public(api_docs.api_docs), name="api-docs"),
    path("api/v1/", include("stations.urls")),
    path("api/v1/", include("vehicles.urls")),
    path("api/v1/", include("billing.urls")),
    path("", include("ocpp_bridge.urls")),
    path("", include("dispatch.urls")),
]

handler404 = "fleetcharge.views.not_found"
handler500 = "fleetcharge.views.server_error"
