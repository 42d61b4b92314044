from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"
    verbose_name = "Billing"

    def ready(self) -> None:
        from billing import handlers, outbox  # noqa: F401  (registers subscribers)
        from billing.approvals import (  # noqa: F401
            charge_backs,
            goodwill,
            spend_limits,
            telling,
            top_ups,
            wallet_terms,
            write_offs,
        )
        from billing.charger_evidence import tell_sessions
        from billing.invoicing import outbox as invoicing_outbox  # noqa: F401
        from billing.notices import handlers as letters  # noqa: F401
        from billing.notices import recorders  # noqa: F401
        from billing.payments import handlers as payments  # noqa: F401
        from billing.payments import outbox as payments_outbox  # noqa: F401
        from billing.roaming import FleetTokens
        from stations.cpo.ocpi import directory
        from stations.health import evidence

        directory.register(FleetTokens())
        evidence.register("sessions", tell_sessions)
