"""Limits and their use, sealed days of the journal, jobs, exceptions of the platform; one wallet update per entry."""

import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.db import migrations, models

CREATE = """
-- one update of the hot row for all legs of an entry, after them
DROP TRIGGER wallet_follows_ledger ON billing_ledgertransfer;
CREATE OR REPLACE FUNCTION billing_project_wallet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE billing_wallet w SET posted_paise = w.posted_paise + moved.paise
      FROM (SELECT account_id, sum(paise)::bigint AS paise
              FROM (SELECT credit_id AS account_id, amount_paise AS paise FROM added
                    UNION ALL SELECT debit_id, -amount_paise FROM added) sides
             GROUP BY account_id HAVING sum(paise) <> 0) moved
     WHERE w.account_id = moved.account_id;
    RETURN NULL;
END $$;
CREATE TRIGGER wallet_follows_ledger AFTER INSERT ON billing_ledgertransfer
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION billing_project_wallet();

CREATE TRIGGER checkpoints_are_append_only BEFORE UPDATE OR DELETE ON billing_journalcheckpoint
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER checkpoints_are_never_emptied BEFORE TRUNCATE ON billing_journalcheckpoint
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
"""
DROP = """
DROP TRIGGER checkpoints_are_never_emptied ON billing_journalcheckpoint;
DROP TRIGGER checkpoints_are_append_only ON billing_journalcheckpoint;
DROP TRIGGER wallet_follows_ledger ON billing_ledgertransfer;
CREATE OR REPLACE FUNCTION billing_project_wallet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE billing_wallet
       SET posted_paise = posted_paise + CASE WHEN account_id = NEW.credit_id THEN NEW.amount_paise
                                              ELSE -NEW.amount_paise END
     WHERE account_id IN (NEW.debit_id, NEW.credit_id);
    RETURN NULL;
END $$;
CREATE TRIGGER wallet_follows_ledger AFTER INSERT ON billing_ledgertransfer
    FOR EACH ROW EXECUTE FUNCTION billing_project_wallet();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0020_idempotent_writes"),
        ("billing", "0035_approvals"),
        ("stations", "0030_failed_calls"),
        ("vehicles", "0020_tokens_changed_since"),
    ]

    operations = [
        migrations.CreateModel(
            name="Job",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=40)),
                ("key", models.CharField(help_text="What it is about; one job per kind and key.", max_length=120)),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "Waiting"), ("dead", "Given up")], default="waiting", max_length=8
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                (
                    "next_try_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, help_text="While it is worked on: the end of the lease."
                    ),
                ),
                ("error", models.CharField(blank=True, max_length=500)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("died_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["next_try_at"],
            },
        ),
        migrations.CreateModel(
            name="JournalCheckpoint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField(help_text="By the moment of recording, UTC.", unique=True)),
                (
                    "last_id",
                    models.BigIntegerField(
                        help_text="The newest transfer of the day; of an empty day, of those before."
                    ),
                ),
                ("transfers", models.BigIntegerField()),
                ("total_paise", models.BigIntegerField()),
                ("previous_sha256", models.CharField(blank=True, max_length=64)),
                ("sha256", models.CharField(max_length=64)),
                ("sealed_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "ordering": ["-day"],
            },
        ),
        migrations.CreateModel(
            name="LimitUsage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("period_start", models.DateField()),
                ("is_hard", models.BooleanField()),
                ("cap_paise", models.BigIntegerField(null=True)),
                ("cap_wh", models.BigIntegerField(null=True)),
                ("reserved_paise", models.BigIntegerField(default=0)),
                ("spent_paise", models.BigIntegerField(default=0)),
                ("excess_paise", models.BigIntegerField(default=0)),
                ("reserved_wh", models.BigIntegerField(default=0)),
                ("spent_wh", models.BigIntegerField(default=0)),
                ("excess_wh", models.BigIntegerField(default=0)),
            ],
            options={
                "ordering": ["-period_start", "limit"],
            },
        ),
        migrations.CreateModel(
            name="SpendLimit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("organisation", "Whole fleet"),
                            ("cost_centre", "Cost centre"),
                            ("site", "Site"),
                            ("vehicle", "Vehicle"),
                            ("driver", "Driver"),
                            ("tariff", "Tariff"),
                        ],
                        max_length=12,
                    ),
                ),
                ("cost_centre", models.CharField(blank=True, max_length=40)),
                (
                    "period",
                    models.CharField(
                        choices=[
                            ("session", "Session"),
                            ("day", "Day"),
                            ("week", "Week, from Monday"),
                            ("month", "Month"),
                        ],
                        max_length=8,
                    ),
                ),
                (
                    "amount_paise",
                    models.PositiveBigIntegerField(blank=True, help_text="Incl. GST; empty: no bound.", null=True),
                ),
                (
                    "energy_wh",
                    models.PositiveBigIntegerField(blank=True, help_text="In Wh; empty: no bound.", null=True),
                ),
                (
                    "is_hard",
                    models.BooleanField(default=True, help_text="Refuse beyond it; otherwise only tell finance."),
                ),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="billingexception",
            name="one_open_exception_per_cause",
        ),
        migrations.AddField(
            model_name="hold",
            name="energy_wh",
            field=models.BigIntegerField(default=0, help_text="Reserved on the limits together with the money."),
        ),
        migrations.AddField(
            model_name="hold",
            name="limits",
            field=models.JSONField(
                blank=True, default=dict, help_text="The limits it is reserved on, as they were when it began."
            ),
        ),
        migrations.AlterField(
            model_name="billingexception",
            name="kind",
            field=models.CharField(
                choices=[
                    ("missing_tariff", "No tariff"),
                    ("odd_meter", "Meter does not add up"),
                    ("suspicious_session", "Evidence disagrees"),
                    ("over_capture", "Wallet too low, booked as receivable"),
                    ("unknown_token", "Charged with an unknown token"),
                    ("refused", "Charged although refused"),
                    ("offline", "Charged offline although not allowed"),
                    ("no_wallet", "No wallet"),
                    ("orphan_stop", "Stop without a start"),
                    ("conflicting_stop", "Two different stops"),
                    ("never_ended", "Session without an end"),
                    ("missing_start", "Session without a start"),
                    ("books_differ", "The books do not add up"),
                    ("not_adjusted", "Late correction could not be booked"),
                    ("cpo_price", "Network asks another price"),
                    ("cpo_correction", "Network corrected its record"),
                    ("cpo_balance", "Network asks for an earlier balance"),
                    ("payment_odd", "Payment that does not fit"),
                    ("payment_dispute", "A payer's bank disputes a payment"),
                    ("mandate_failed", "Mandate does not pay"),
                    ("top_up_short", "Automatic top-up cannot keep up"),
                    ("refund_failed", "Refund failed"),
                    ("limit_reached", "A spending limit is reached"),
                    ("job_dead", "Background work was given up"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="billingexception",
            name="organisation",
            field=models.ForeignKey(
                blank=True,
                help_text="Empty: it is about the platform's own books or work.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="billing_exceptions",
                to="accounts.organisation",
            ),
        ),
        migrations.AddConstraint(
            model_name="billingexception",
            constraint=models.UniqueConstraint(
                models.F("organisation"),
                models.F("kind"),
                models.F("reference"),
                condition=models.Q(("resolved_at", None), models.Q(("reference", ""), _negated=True)),
                name="one_open_exception_per_cause",
                nulls_distinct=False,
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="organisation",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="accounts.organisation",
            ),
        ),
        migrations.AddField(
            model_name="spendlimit",
            name="driver",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="spend_limits",
                to="vehicles.driver",
            ),
        ),
        migrations.AddField(
            model_name="spendlimit",
            name="location",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="stations.location",
            ),
        ),
        migrations.AddField(
            model_name="spendlimit",
            name="organisation",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="spend_limits",
                to="accounts.organisation",
            ),
        ),
        migrations.AddField(
            model_name="spendlimit",
            name="tariff",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="stations.tariff",
            ),
        ),
        migrations.AddField(
            model_name="spendlimit",
            name="vehicle",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="spend_limits",
                to="vehicles.vehicle",
            ),
        ),
        migrations.AddField(
            model_name="limitusage",
            name="limit",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="usages", to="billing.spendlimit"
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("next_try_at"), models.F("id"), condition=models.Q(("state", "waiting")), name="jobs_to_do"
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.UniqueConstraint(models.F("kind"), models.F("key"), name="one_job_per_key"),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("died_at__isnull", False), ("state", "dead")),
                    models.Q(("died_at", None), ("state", "waiting")),
                    _connector="OR",
                ),
                name="job_died_or_waits",
            ),
        ),
        migrations.AddConstraint(
            model_name="spendlimit",
            constraint=models.UniqueConstraint(
                fields=(
                    "organisation",
                    "scope",
                    "cost_centre",
                    "location",
                    "vehicle",
                    "driver",
                    "tariff",
                    "period",
                    "is_hard",
                ),
                name="one_limit_per_scope_and_period",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="spendlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("scope", "cost_centre"), ("cost_centre", ""), _connector="XOR"),
                name="limit_names_its_cost_centre",
            ),
        ),
        migrations.AddConstraint(
            model_name="spendlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("scope", "site"), ("location", None), _connector="XOR"), name="limit_names_its_site"
            ),
        ),
        migrations.AddConstraint(
            model_name="spendlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("scope", "vehicle"), ("vehicle", None), _connector="XOR"),
                name="limit_names_its_vehicle",
            ),
        ),
        migrations.AddConstraint(
            model_name="spendlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("scope", "driver"), ("driver", None), _connector="XOR"),
                name="limit_names_its_driver",
            ),
        ),
        migrations.AddConstraint(
            model_name="spendlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("scope", "tariff"), ("tariff", None), _connector="XOR"),
                name="limit_names_its_tariff",
            ),
        ),
        migrations.AddConstraint(
            model_name="spendlimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_paise__isnull", False), ("energy_wh__isnull", False), _connector="OR"),
                name="limit_bounds_something",
            ),
        ),
        migrations.AddConstraint(
            model_name="limitusage",
            constraint=models.UniqueConstraint(
                models.F("limit"), models.F("period_start"), name="one_usage_per_limit_and_period"
            ),
        ),
        migrations.AddConstraint(
            model_name="limitusage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("excess_paise__gte", 0),
                    ("reserved_paise__gte", 0),
                    ("spent_paise__gte", 0),
                    ("excess_wh__gte", 0),
                    ("reserved_wh__gte", 0),
                    ("spent_wh__gte", 0),
                ),
                name="limit_usage_is_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="limitusage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("is_hard", False),
                    ("cap_paise", None),
                    (
                        "reserved_paise__lte",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("cap_paise"), "+", models.F("excess_paise")
                            ),
                            "-",
                            models.F("spent_paise"),
                        ),
                    ),
                    _connector="OR",
                ),
                name="hard_limit_is_kept",
            ),
        ),
        migrations.AddConstraint(
            model_name="limitusage",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("is_hard", False),
                    ("cap_wh", None),
                    (
                        "reserved_wh__lte",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                models.F("cap_wh"), "+", models.F("excess_wh")
                            ),
                            "-",
                            models.F("spent_wh"),
                        ),
                    ),
                    _connector="OR",
                ),
                name="hard_energy_limit_is_kept",
            ),
        ),
        migrations.RunSQL(CREATE, DROP),
    ]
