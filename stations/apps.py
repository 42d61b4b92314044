from django.apps import AppConfig


class StationsConfig(AppConfig):
    name = "stations"
    verbose_name = "Stations"

    def ready(self) -> None:
        from stations import outbox  # noqa: F401  (registers subscribers)
        from stations.cpo import registry

        registry.register_builtin()
