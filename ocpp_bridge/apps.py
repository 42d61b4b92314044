from django.apps import AppConfig


class OcppBridgeConfig(AppConfig):
    name = "ocpp_bridge"
    verbose_name = "OCPP"

    def ready(self) -> None:
        from ocpp_bridge import handlers, outbox  # noqa: F401  (registers subscribers)
        from ocpp_bridge.adapter import OwnChargersAdapter
        from ocpp_bridge.charging.nights import Nights
        from stations.cpo import power, registry

        registry.register(OwnChargersAdapter())
        power.register(Nights())
