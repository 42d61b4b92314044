"""The admin without autodiscovery of `leaflet.admin`, which would need GDAL and stop the start-up."""

from importlib import import_module
from importlib.util import find_spec

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.utils.translation import gettext_lazy as _


class FleetAdminConfig(SimpleAdminConfig):
    """Imports the `admin` module of every installed app except django-leaflet's."""

    default = False
    default_site = "unfold.sites.UnfoldAdminSite"

    def ready(self) -> None:
        super().ready()
        admin.site.index_title = _("Finance desk")
        for config in apps.get_app_configs():
            if config.name != "leaflet" and find_spec(f"{config.name}.admin"):
                import_module(f"{config.name}.admin")
