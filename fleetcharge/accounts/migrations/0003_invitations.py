"""Membership by consent: invitations, and which organisation's invitation made an account."""

import django.db.models.deletion
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models
from django.db.models import Count, Min

ROLES = [
    ("owner", "Owner"), ("dispatcher", "Dispatcher"), ("finance", "Finance"), ("integrator", "Integrator"),
    ("driver", "Driver"),
]


def who_works_in_one_place_only(apps, schema_editor):
    """Accounts made so far were made by the only organisation their person works for."""
    User = apps.get_model("accounts", "User")
    people = User.objects.filter(is_superuser=False).annotate(
        places=Count("memberships"), place=Min("memberships__organisation")
    )
    for person in people.filter(places=1):
        User.objects.filter(pk=person.pk).update(created_for=person.place)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_audit_is_append_only")]
    operations = [
        migrations.AddField(
            model_name="user",
            name="created_for",
            field=models.ForeignKey(
                blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+",
                to="accounts.organisation",
                help_text="Whose invitation made this account; only that organisation may manage it.",
            ),
        ),
        migrations.CreateModel(
            name="Invitation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("email", models.EmailField(max_length=254)),
                ("role", models.CharField(choices=ROLES, max_length=12)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField()),
                ("accepted_at", models.DateTimeField(blank=True, null=True)),
                (
                    "invited_by",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "organisation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="invitations",
                        to="accounts.organisation",
                    ),
                ),
            ],
            options={
                "ordering": ["-pk"],
                "constraints": [
                    models.UniqueConstraint(
                        django.db.models.functions.text.Lower("email"), models.F("organisation"),
                        condition=models.Q(("accepted_at", None)), name="one_open_invitation_per_address",
                    )
                ],
            },
        ),
        migrations.RunPython(who_works_in_one_place_only, migrations.RunPython.noop, elidable=True),
    ]
