"""Feeds of vendors on the desk: set up without a programmer, tried out on a pasted payload, watched, and replayed."""

import json
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget, UnfoldBooleanWidget

from fleetcharge.accounts.admin import ReadOnlyAdmin, ReasonForm, TenantAdmin, actor_of, ask, back_to
from fleetcharge.accounts.services import audit
from fleetcharge.lib import crypto
from stations.cpo.webhooks import counting, dry_run, letters, signatures
from stations.cpo.webhooks.codes import span, words
from stations.cpo.webhooks.mapping import FeedMapping
from stations.cpo.webhooks.models import DeadLetter, WebhookCount, WebhookFeed, WebhookPush
from stations.cpo.webhooks.paths import BadMapping
from stations.cpo.webhooks.sites import BadEntry
from stations.models import Source
from stations.ubc_admin import OwnNetworks

SHOWN_LINES = 200
SECRETS = ("vendor_secret", "vendor_key")
KINDS = {Source.Kind.WEBHOOK, Source.Kind.REST_POLL}


class FeedForm(forms.ModelForm):  # type: ignore[type-arg]
    """Secrets go in here and are never shown again."""

    vendor_secret = forms.CharField(
        label=_("Secret of the vendor"), required=False, strip=True, max_length=400, widget=UnfoldAdminTextInputWidget,
        help_text=_("Or its Ed25519 public key. Empty: what we hold, else one of ours is made and shown once."),
    )  # fmt: skip
    vendor_key = forms.CharField(
        label=_("Key we poll with"), required=False, strip=True, max_length=400, widget=UnfoldAdminTextInputWidget,
        help_text=_("Empty: what we hold."),
    )  # fmt: skip

    class Meta:
        model = WebhookFeed
        fields = (
            "source", "style", "mapping", "algorithm", "signed", "signature_header", "timestamp_header", "id_header",
            "window_seconds", "allowed_addresses", "poll", "poll_mapping",
        )  # fmt: skip

    def clean_source(self) -> Source:
        source: Source = self.cleaned_data["source"]
        if source.kind not in KINDS:
            raise forms.ValidationError(_("Choose a network of a kind that pushes, or is polled for, JSON."))
        return source

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        secret, is_public = cleaned.get("vendor_secret", ""), cleaned.get("algorithm") == signatures.ED25519
        if is_public and (secret or not self.instance.secret_encrypted):
            try:
                signatures.public_key(secret)
            except ValueError as error:
                self.add_error("vendor_secret", str(error))
        return cleaned


class PrettyJSON(forms.JSONField):
    """JSON that people edit: one value per line."""

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False)


class TryForm(forms.Form):
    """A payload to try; the mapping may be changed here before anything is kept."""

    payload = forms.CharField(label=_("Payload"), widget=UnfoldAdminTextareaWidget(attrs={"rows": 12}))
    path = forms.CharField(
        label=_("Address after the feed's own"), required=False, max_length=300, widget=UnfoldAdminTextInputWidget,
        help_text=_("As IN/ABC/LOC1/EVSE1, for vendors that name the EVSE there."),
    )  # fmt: skip
    mapping = PrettyJSON(label=_("Mapping"), required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 16}))
    is_page = forms.BooleanField(label=_("It is a polled page"), required=False, widget=UnfoldBooleanWidget)
    keep = forms.BooleanField(label=_("Keep this mapping"), required=False, widget=UnfoldBooleanWidget)

    def clean_mapping(self) -> Any:
        mapping = self.cleaned_data["mapping"] or {}
        if mapping:
            try:
                FeedMapping.parse(mapping)
            except BadMapping as error:
                raise forms.ValidationError(str(error)) from None
        return mapping


@admin.register(WebhookFeed)
class WebhookFeedAdmin(OwnNetworks, TenantAdmin):
    """One vendor: whom we believe, how its JSON is read, how it does."""

    form = FeedForm
    organisation_path = "source__organisation"
    list_display = ["source", "style", "algorithm", "pushes_today", "dead_letters_waiting", "lag"]
    list_select_related = ["source"]
    search_fields = ["source__name", "source__slug"]
    fields = [
        "source", "address", "style", "mapping", "algorithm", "signed", "signature_header", "timestamp_header",
        "id_header", "window_seconds", "allowed_addresses", "vendor_secret", "secrets_held", "poll", "poll_mapping",
        "vendor_key", "counts", "lag",
    ]  # fmt: skip
    readonly_fields = ["address", "secrets_held", "counts", "lag"]
    actions_detail = ["try_out", "new_secret", "drop_old_secret", "replay"]

    @admin.display(description=_("Where the vendor pushes to"))
    def address(self, feed: WebhookFeed) -> str:
        return f"{settings.PUBLIC_BASE_URL}/hooks/{feed.source.slug}" if feed.source_id else "–"

    @admin.display(description=_("Secrets held"))
    def secrets_held(self, feed: WebhookFeed) -> str:
        if not feed.old_secret_encrypted:
            return gettext("one") if feed.secret_encrypted else gettext("none: nothing is believed")
        if feed.old_secret_used_at is None:
            return gettext("two; the old one has not been used")
        return gettext("two; the old one was used last at %(at)s") % {"at": f"{feed.old_secret_used_at:%Y-%m-%d %H:%M}"}

    @admin.display(description=_("Pushes today"))
    def pushes_today(self, feed: WebhookFeed) -> int:
        return counting.counts_of(feed.pk, timezone.now().date()).get("pushes", 0)

    @admin.display(description=_("Dead letters"))
    def dead_letters_waiting(self, feed: WebhookFeed) -> int:
        return DeadLetter.objects.waiting().filter(feed=feed).count()

    @admin.display(description=_("Counted today"))
    def counts(self, feed: WebhookFeed) -> str:
        counted = counting.counts_of(feed.pk, timezone.now().date()) if feed.pk else {}
        return format_html_join(", ", "{}: {}", ((words(code), count) for code, count in counted.items())) or "–"

    @admin.display(description=_("Lag today: half, 95 % within"))
    def lag(self, feed: WebhookFeed) -> str:
        half, most = counting.lag_percentiles(feed.pk, [timezone.now().date()]) if feed.pk else [None, None]
        return "–" if half is None or most is None else f"{span(half)}, {span(most)}"

    def save_model(self, request: HttpRequest, obj: WebhookFeed, form: Any, change: bool) -> None:
        """Secrets are encrypted, and never enter the audit; a feed without one gets one of ours."""
        secret, key = (form.cleaned_data.get(name, "") for name in SECRETS)
        given = [name for name in SECRETS if name in form.changed_data]
        for name in given:
            form.changed_data.remove(name)
        if key:
            obj.poll_key = key
        if secret:
            _put_secret(obj, secret)
        made = crypto.new_token(32) if not obj.secret_encrypted else ""
        if made:
            obj.secret = made
        super().save_model(request, obj, form, change)
        if given:
            audit(action="secret", target=obj, actor=actor_of(request), after={"given": ", ".join(given)})
        if made:
            _show_once(request, obj, made)

    @action(description=_("Try a payload"), url_path="try")  # type: ignore[untyped-decorator]
    def try_out(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What a payload would do, without doing it; with another mapping too, which may then be kept."""
        feed = self._one(request, object_id)
        if feed is None:
            return back_to(self)
        form = TryForm(request.POST or None, initial={"mapping": feed.mapping})
        rows = self._tried(feed, form, request) if form.is_valid() else []
        title = _("What would %(name)s's push do? Nothing of it is kept") % {"name": feed}
        return ask(request, self, title=title, form=form, submit=gettext("Try"), rows=rows)

    def _tried(self, feed: WebhookFeed, form: TryForm, request: HttpRequest) -> list[str]:
        wish = form.cleaned_data
        kept = feed.poll_mapping if wish["is_page"] and feed.poll_mapping else feed.mapping
        name = "poll_mapping" if wish["is_page"] and feed.poll_mapping else "mapping"
        wanted = wish["mapping"] or kept
        setattr(feed, name, wanted)
        try:
            lines = dry_run.try_out(feed, wish["payload"].encode(), wish["path"], is_page=wish["is_page"])
        except (BadEntry, BadMapping) as error:
            return [f"{words(getattr(error, 'code', 'bad_mapping'))}: {error}"]
        if wish["keep"] and wanted != kept:
            feed.save(update_fields=[name])
            audit(action="mapping", target=feed, actor=actor_of(request), before={name: kept}, after={name: wanted})
            messages.success(request, gettext("The mapping is kept."))
        more = len(lines) - SHOWN_LINES
        rows = [str(line) for line in lines[:SHOWN_LINES]]
        return [*rows, gettext("and %(more)s more") % {"more": more}] if more > 0 else rows or [gettext("No entries.")]

    @action(description=_("New secret"), url_path="new-secret")  # type: ignore[untyped-decorator]
    def new_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A second live secret; the present one is believed until it is dropped."""
        feed = self._one(request, object_id)
        if feed is None or feed.algorithm == signatures.ED25519:  # its keys are made by the vendor
            return back_to(self, object_id)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            title = _("A new secret for %(name)s; the present one is believed until it is dropped") % {"name": feed}
            return ask(request, self, title=title, form=form, submit=gettext("Make a secret"))
        made = crypto.new_token(32)
        _put_secret(feed, made)
        feed.save(update_fields=["secret_encrypted", "old_secret_encrypted", "old_secret_used_at"])
        audit(action="new_secret", target=feed, actor=actor_of(request), reason=form.cleaned_data["reason"])
        _show_once(request, feed, made)
        return back_to(self, object_id)

    @action(description=_("Drop the old secret"), url_path="drop-old-secret")  # type: ignore[untyped-decorator]
    def drop_old_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        feed = self._one(request, object_id)
        if feed is None or not feed.old_secret_encrypted:
            return back_to(self, object_id)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            title = _("The old secret of %(name)s is believed no more") % {"name": feed}
            rows = [self.secrets_held(feed)]
            return ask(request, self, title=title, form=form, submit=gettext("Drop it"), rows=rows)
        feed.old_secret_encrypted, feed.old_secret_used_at = "", None
        feed.save(update_fields=["old_secret_encrypted", "old_secret_used_at"])
        audit(action="drop_old_secret", target=feed, actor=actor_of(request), reason=form.cleaned_data["reason"])
        return back_to(self, object_id)

    @action(description=_("Replay dead letters"), url_path="replay")  # type: ignore[untyped-decorator]
    def replay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """All that wait, by today's mapping; what still cannot be applied stays."""
        feed = self._one(request, object_id)
        if feed is None:
            return back_to(self)
        form = ReasonForm(request.POST or None)
        if not form.is_valid():
            waiting = DeadLetter.objects.waiting().filter(feed=feed).order_by("-last_at")
            rows = [f"{letter.subject} · {words(letter.code)} · {letter.detail}" for letter in waiting[:SHOWN_LINES]]
            rows = rows or [gettext("Nothing waits.")]
            title = _("Replay the dead letters of %(name)s") % {"name": feed}
            return ask(request, self, title=title, form=form, submit=gettext("Replay"), rows=rows)
        audit(action="replay", target=feed, actor=actor_of(request), reason=form.cleaned_data["reason"])
        _replay(request, DeadLetter.objects.waiting().filter(feed=feed))
        return back_to(self, object_id)

    def _one(self, request: HttpRequest, object_id: str) -> WebhookFeed | None:
        feed: WebhookFeed | None = self.get_object(request, object_id)
        return feed if feed is not None and self.has_change_permission(request, feed) else None


def _put_secret(feed: WebhookFeed, secret: str) -> None:
    """The one we held becomes the old one: both are believed."""
    if feed.secret_encrypted and secret != feed.secret:
        feed.old_secret_encrypted, feed.old_secret_used_at = feed.secret_encrypted, None
    feed.secret = secret


def _show_once(request: HttpRequest, feed: WebhookFeed, secret: str) -> None:
    text = gettext("Secret for {}: {} - give it to the vendor; it is never shown again.")
    messages.warning(request, format_html(text, feed, secret))


def _replay(request: HttpRequest, waiting: QuerySet[DeadLetter]) -> None:
    chosen = waiting.order_by("last_at").values_list("pk", flat=True)[: letters.MAX_AT_ONCE]
    counts = letters.replay(list(chosen), now=timezone.now())
    told = ", ".join(f"{words(code)}: {count}" for code, count in sorted(counts.items()))
    messages.info(request, gettext("Replayed: %(told)s.") % {"told": told or gettext("nothing")})


class OfFeeds(OwnNetworks):
    organisation_path = "feed__source__organisation"

    @admin.display(description=_("What happened"), ordering="code")
    def what(self, row: DeadLetter | WebhookCount) -> str:
        return words(row.code)

    @admin.display(description=_("Our code"), ordering="code")
    def our_code(self, row: DeadLetter | WebhookCount) -> str:
        return row.code


class ByCode(admin.SimpleListFilter):
    """The codes that there are, in words."""

    title, parameter_name = _("what happened"), "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).order_by().values_list("code", flat=True).distinct()
        return sorted(((code, words(code)) for code in rows), key=lambda each: each[1])

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(code=self.value()) if self.value() else queryset


@admin.register(DeadLetter)
class DeadLetterAdmin(OfFeeds, ReadOnlyAdmin):
    """Entries that could not be applied, with their reason."""

    list_display = ["last_at", "feed", "what", "subject", "detail", "times", "replayed_at", "replayed_as"]
    list_filter = [ByCode]
    list_select_related = ["feed__source"]
    search_fields = ["subject", "detail"]
    fields = [
        "feed", "push", "index", "what", "our_code", "subject", "detail", "times", "first_at", "last_at", "replayed_at",
        "replayed_as",
    ]  # fmt: skip
    readonly_fields = ["what", "our_code", "replayed_as"]
    actions = ["replay"]

    @admin.display(description=_("What the replay said"))
    def replayed_as(self, letter: DeadLetter) -> str:
        return words(letter.replay_code) or "–"

    def has_replay_permission(self, request: HttpRequest) -> bool:
        return self._has_role(request, TenantAdmin.change_roles)

    @admin.action(description=_("Replay"), permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[DeadLetter]) -> None:
        own = queryset.filter(replayed_at=None)
        for feed in {letter.feed for letter in own.select_related("feed")}:
            audit(action="replay", target=feed, actor=actor_of(request))
        _replay(request, own)


@admin.register(WebhookPush)
class WebhookPushAdmin(OfFeeds, ReadOnlyAdmin):
    """The inbox, word for word."""

    list_display = ["received_at", "feed", "entries", "outcomes", "sent_at", "applied_at"]
    list_select_related = ["feed__source"]
    search_fields = ["dedupe_key"]
    exclude = ["raw"]
    readonly_fields = ["body"]

    @admin.display(description=_("Body"))
    def body(self, push: WebhookPush) -> str:
        return bytes(push.raw).decode(errors="replace")


@admin.register(WebhookCount)
class WebhookCountAdmin(OfFeeds, ReadOnlyAdmin):
    list_display = ["day", "feed", "what", "count", "last_at", "last_detail"]
    list_filter = [ByCode]
    fields = ["day", "feed", "what", "our_code", "count", "last_at", "last_detail"]
    readonly_fields = ["what", "our_code"]
    list_select_related = ["feed__source"]
    search_fields = ["code"]
