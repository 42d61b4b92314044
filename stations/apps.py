from django.apps import AppConfig


class StationsConfig(AppConfig):
    name = "stations"
    verbose_name = "Stations"

    def ready(self) -> None:
        from stations import network_outbox, outbox  # noqa: F401  (register subscribers)
        from stations.cpo import registry

        registry.register_builtin()
