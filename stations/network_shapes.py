"""The public shape of a network: how it is doing, how far its poll is, and how the last one went."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from stations.models import PollRun, Source


class PollSerializer(serializers.ModelSerializer[PollRun]):
    """A poll that is under way."""

    list = serializers.CharField(source="part", help_text="Which list is being read.")
    objects = serializers.IntegerField(source="read", help_text="So far, of all lists.")

    class Meta:
        model = PollRun
        fields = ["began_at", "heard_at", "is_full", "list", "page", "pages", "objects", "refused"]


class LastPollSerializer(serializers.ModelSerializer[PollRun]):
    """The last poll that ended."""

    began_at = serializers.DateTimeField(source="last_began_at")
    ended_at = serializers.DateTimeField(source="last_ended_at")
    seconds = serializers.FloatField(source="last_seconds", help_text="How long it took.")
    result = serializers.ChoiceField(PollRun.Result.choices, source="last_result")
    is_full = serializers.BooleanField(source="last_was_full")
    objects = serializers.IntegerField(source="last_read")
    written = serializers.IntegerField(source="last_written", help_text="Sites that were new or had changed.")
    refused = serializers.IntegerField(source="last_refused")

    class Meta:
        model = PollRun
        fields = ["began_at", "ended_at", "seconds", "result", "is_full", "objects", "written", "refused"]


class NetworkSerializer(serializers.ModelSerializer[Source]):
    """A network and how it is doing."""

    stations = serializers.IntegerField()
    has_access = serializers.BooleanField(help_text="Whether this fleet may charge there.")
    poll = serializers.SerializerMethodField(help_text="While it is being polled: how far; else null.")
    last_poll = serializers.SerializerMethodField(help_text="How the last poll went; null before the first.")

    class Meta:
        model = Source
        fields = [
            "slug",
            "name",
            "kind",
            "state",
            "stations",
            "has_access",
            "licence",
            "attribution",
            "last_polled_at",
            "last_push_at",
            "poll",
            "last_poll",
        ]

    @extend_schema_field(PollSerializer(allow_null=True))  # type: ignore[untyped-decorator]
    def get_poll(self, source: Source) -> dict[str, Any] | None:
        run: PollRun | None = getattr(source, "poll_run", None)
        return PollSerializer(run).data if run and run.is_running(timezone.now()) else None

    @extend_schema_field(LastPollSerializer(allow_null=True))  # type: ignore[untyped-decorator]
    def get_last_poll(self, source: Source) -> dict[str, Any] | None:
        run: PollRun | None = getattr(source, "poll_run", None)
        return LastPollSerializer(run).data if run and run.last_ended_at else None
