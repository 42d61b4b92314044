from django.apps import AppConfig


class DispatchConfig(AppConfig):
    name = "dispatch"
    verbose_name = "Dispatch"

    def ready(self) -> None:
        from dispatch.driving import handlers as drives  # noqa: F401  (what the outbox tells has the link)

        # isort: split
        from dispatch import handlers, outbox  # noqa: F401  (registers subscribers)
        from dispatch.charger_evidence import tell_starts, usage_of
        from dispatch.saved.reads import of_person
        from fleetcharge.accounts import privacy
        from stations.health import evidence

        evidence.register("starts", tell_starts)
        evidence.register_usage(usage_of)
        privacy.also_held("saved_views", of_person)
