from django.apps import AppConfig


class OcppBridgeConfig(AppConfig):
    name = "ocpp_bridge"
    verbose_name = "OCPP"

    def ready(self) -> None:
        from ocpp_bridge import handlers, outbox  # noqa: F401  (registers subscribers)
        from ocpp_bridge.adapter import OwnChargersAdapter
        from stations.cpo import registry

        registry.register(OwnChargersAdapter())
