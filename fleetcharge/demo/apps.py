from django.apps import AppConfig


class DemoConfig(AppConfig):
    """Commands that seed and run the demo city; the product imports nothing from here."""

    name = "fleetcharge.demo"
    label = "demo"
