"""Vehicles, who drives them when, the tokens that start their charging, and where they are."""

import uuid
from datetime import datetime, timedelta
from typing import Any, Self

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, RangeBoundary
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Lower, Replace, Upper
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import Organisation
from vehicles.estimating import SIGMA_PERCENT, band
from vehicles.fixes import CHARGING, SUSPECT_POSITION, SUSPECT_SOC

FIGURES = ("battery_wh", "plugs", "max_ac_power_w", "max_dc_power_w", "consumption_wh_per_km")
POSITION_STALE_AFTER = timedelta(minutes=10)
CENTISECOND = timedelta(milliseconds=10)


class VehicleModel(models.Model):
    """A type of vehicle: battery, inlets, power, appetite. Figures nobody has verified are marked so."""

    class VehicleClass(models.TextChoices):
        TWO_WHEELER = "2W", _("Two-wheeler")
        THREE_WHEELER = "3W", _("Three-wheeler")
        CAR = "4W", _("Car")
        LCV = "LCV", _("Light goods vehicle")
        BUS = "BUS", _("Bus")
        TRUCK = "TRUCK", _("Truck")

    manufacturer = models.CharField(max_length=60)
    name = models.CharField(max_length=80)
    vehicle_class = models.CharField(max_length=6, choices=VehicleClass, default=VehicleClass.LCV)
    battery_wh = models.PositiveIntegerField(help_text=_("Usable."))
    plugs = ArrayField(models.CharField(max_length=16), help_text=_("Keys of the connector map it can use."))
    max_ac_power_w = models.PositiveIntegerField(default=0)
    max_dc_power_w = models.PositiveIntegerField(default=0)
    max_voltage_v = models.PositiveIntegerField(default=0, help_text=_("0: not limited."))
    consumption_wh_per_km = models.PositiveIntegerField()
    charge_curve = models.JSONField(
        default=list, blank=True, help_text=_("[[soc_percent, power_w], ...]; empty: flat to 80 %, then tapering.")
    )
    verified_figures = ArrayField(
        models.CharField(max_length=32),
        default=list,
        blank=True,
        help_text=_("Names of the figures that were read at the source."),
    )
    is_verified = models.BooleanField(
        default=False, editable=False, help_text=_("Every figure was read at the source.")
    )
    figures_source = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["manufacturer", "name"]
        constraints = [
            models.UniqueConstraint(Lower("manufacturer"), Lower("name"), name="one_row_per_vehicle_model"),
            models.CheckConstraint(
                condition=Q(battery_wh__gte=1),
                name="a_battery_holds_something",
                violation_error_message=_("A battery holds at least 1 Wh."),
            ),
            models.CheckConstraint(
                condition=Q(consumption_wh_per_km__gte=1),
                name="driving_takes_something",
                violation_error_message=_("Driving takes at least 1 Wh per km."),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.manufacturer} {self.name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.is_verified = not self.unverified_figures
        super().save(*args, **kwargs)

    @property
    def unverified_figures(self) -> list[str]:
        """Names of those that a plan rests on and nobody read at the source."""
        return [name for name in FIGURES if name not in self.verified_figures]


class Driver(models.Model):
    """A person who drives. `driver_ref` is the pseudonym that ledger and telemetry carry (DPDP)."""

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="drivers")
    driver_ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(max_length=120)
    phone = models.CharField(max_length=20, blank=True)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class VehicleQuerySet(models.QuerySet["Vehicle"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)

    def holding(self, device_id: str, at: datetime) -> Self:
        """The vehicle that the device reported for then; its only rows are one or none."""
        return self.filter(pk__in=DeviceAssignment.objects.at(at).filter(device_id=device_id).values("vehicle"))

    def low(self) -> Self:
        """Vehicles whose low-charge latch is set (on below 20 %, off above 25 %, per organisation)."""
        return self.filter(state__is_soc_low=True, is_active=True)


class Vehicle(models.Model):
    """A vehicle of a fleet and the tracker that reports for it."""

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="vehicles")
    registration = models.CharField(max_length=16, help_text=_("As on the plate, e.g. KA 03 MX 4471."))
    model = models.ForeignKey(VehicleModel, models.PROTECT, related_name="vehicles")
    device_id = models.CharField(max_length=64, unique=True, null=True, blank=True, help_text=_("The tracker's id."))
    default_driver = models.ForeignKey(Driver, models.SET_NULL, null=True, blank=True, related_name="+")
    cost_centre = models.CharField(max_length=40, blank=True)
    depot_name = models.CharField(max_length=120, blank=True)
    depot_latitude = models.FloatField(null=True, blank=True)
    depot_longitude = models.FloatField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    watched_until = models.DateTimeField(null=True, blank=True, editable=False)
    appetite = models.FloatField(
        default=1.0,
        db_default=1.0,
        editable=False,
        help_text=_("Learned from its own drives, as a multiple of the model's Wh per km."),
    )
    appetite_variance = models.FloatField(default=0.04, db_default=0.04, editable=False)
    soc_low_percent = models.PositiveSmallIntegerField(
        null=True, blank=True, editable=False, help_text=_("Of the policy it follows; empty: its fleet's.")
    )
    soc_clear_percent = models.PositiveSmallIntegerField(null=True, blank=True, editable=False)

    objects = VehicleQuerySet.as_manager()

    class Meta:
        ordering = ["registration"]
        constraints = [
            models.UniqueConstraint(
                "organisation",
                Replace(Upper("registration"), Value(" "), Value("")),
                name="one_vehicle_per_plate",
            ),
            models.CheckConstraint(
                condition=Q(soc_low_percent=None, soc_clear_percent=None)
                | Q(soc_low_percent__lt=F("soc_clear_percent"), soc_clear_percent__lte=100),
                name="own_limits_come_as_a_pair",
            ),
        ]

    def __str__(self) -> str:
        return self.registration

    @property
    def wh_per_km(self) -> float:
        """What this very vehicle takes."""
        return self.model.consumption_wh_per_km * self.appetite

    @property
    def soc_limits(self) -> tuple[int, int]:
        """Low and clear: its own, else its fleet's."""
        if self.soc_low_percent is None or self.soc_clear_percent is None:
            return self.organisation.soc_low_percent, self.organisation.soc_clear_percent
        return self.soc_low_percent, self.soc_clear_percent


class VehicleState(models.Model):
    """The latest truth about one vehicle. Written by ingest in the statement that stores the ping; newest wins.

    `soc_percent` is the charge now, read or estimated; `soc_at` is when it was last read. What it is estimated from is
    the reading of `soc_base_at` and the counters since then, as far as `soc_counted_at`; they are void when
    `soc_base_at` is not `soc_at`, because another reading came (vehicles/loop.py).
    """

    class SocSource(models.TextChoices):
        MEASURED = "measured", _("Measured")
        CHARGER = "charger", _("From the charger")
        DRIVER = "driver", _("Told by the driver")
        ESTIMATED = "estimated", _("Estimated")

    vehicle = models.OneToOneField(Vehicle, models.CASCADE, primary_key=True, related_name="state")
    latitude = models.FloatField(null=True, blank=True)
    longitude = models.FloatField(null=True, blank=True)
    speed_kmh = models.FloatField(null=True, blank=True)
    heading_deg = models.FloatField(null=True, blank=True)
    position_at = models.DateTimeField(null=True, blank=True)
    received_at = models.DateTimeField(null=True, blank=True)
    soc_percent = models.FloatField(null=True, blank=True)
    soc_at = models.DateTimeField(null=True, blank=True)
    soc_source = models.CharField(max_length=10, choices=SocSource, default=SocSource.MEASURED)
    soc_sigma_percent = models.FloatField(null=True, blank=True)
    soc_base_percent = models.FloatField(null=True, blank=True)
    soc_base_at = models.DateTimeField(null=True, blank=True)
    soc_base_source = models.CharField(max_length=10, blank=True, default="", db_default="")
    soc_counted_at = models.DateTimeField(null=True, blank=True)
    soc_odometer_m = models.FloatField(default=0.0, db_default=0.0)
    soc_gps_m = models.FloatField(default=0.0, db_default=0.0)
    soc_gap_m = models.FloatField(default=0.0, db_default=0.0)
    soc_charged_wh = models.FloatField(default=0.0, db_default=0.0)
    soc_is_due = models.BooleanField(default=False, db_default=False)
    charge_session_id = models.BigIntegerField(null=True, blank=True)
    charge_session_wh = models.FloatField(default=0.0, db_default=0.0)
    charge_soc_percent = models.FloatField(null=True, blank=True)
    odometer_m = models.BigIntegerField(null=True, blank=True)
    is_charging = models.BooleanField(default=False)
    is_soc_low = models.BooleanField(default=False)
    soc_low_at = models.DateTimeField(null=True, blank=True)
    soc_below_at = models.DateTimeField(null=True, blank=True, help_text=_("Newest reading below the low limit."))
    soc_clear_at = models.DateTimeField(
        null=True, blank=True, help_text=_("Newest reading at or above the clear limit.")
    )
    version = models.BigIntegerField(
        default=0, help_text=_("Counts accepted newer positions; names a telemetry moment.")
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(soc_percent=None) | Q(soc_percent__range=(0, 100)), name="soc_is_a_percentage"
            )
        ]
        indexes = [models.Index(fields=["soc_low_at"], condition=Q(is_soc_low=True), name="vehicles_low_on_charge")]

    def __str__(self) -> str:
        return f"{self.vehicle_id} at {self.position_at}"

    def is_fresh(self, now: datetime) -> bool:
        return self.position_at is not None and now - self.position_at < POSITION_STALE_AFTER

    @property
    def soc_band(self) -> tuple[float, float] | None:
        """Percent that nine of ten such vehicles have at least, and at most; None without any reading."""
        if self.soc_percent is None:
            return None
        is_estimated = self.soc_source == self.SocSource.ESTIMATED and self.soc_sigma_percent is not None
        sigma = self.soc_sigma_percent if is_estimated else SIGMA_PERCENT.get(self.soc_source)
        return band(self.soc_percent, sigma or 0.0)


class Stop(models.Model):
    """A place a vehicle is to visit, in order; the next open one decides whether it will reach."""

    vehicle = models.ForeignKey(Vehicle, models.CASCADE, related_name="stops")
    sequence = models.PositiveIntegerField()
    name = models.CharField(max_length=120)
    latitude = models.FloatField()
    longitude = models.FloatField()
    earliest_at = models.DateTimeField(null=True, blank=True, help_text=_("Nobody is there before."))
    due_at = models.DateTimeField(null=True, blank=True)
    external_id = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text=_("The planner's own; a file finds it by this.")
    )
    done_at = models.DateTimeField(null=True, blank=True)
    reached_at = models.DateTimeField(null=True, blank=True, editable=False)
    is_kept_open = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text=_("Taken back by a person: only people tick it off."),
    )

    class Meta:
        ordering = ["vehicle", "sequence"]
        constraints = [
            models.UniqueConstraint("vehicle", "sequence", name="one_stop_per_place_in_line"),
            models.UniqueConstraint(
                "vehicle", "external_id", condition=~Q(external_id=""), name="one_stop_per_external_id"
            ),
        ]
        indexes = [
            models.Index(fields=["vehicle", "sequence"], condition=Q(done_at=None), name="open_stops_of_a_vehicle"),
            models.Index(fields=["external_id"], condition=~Q(external_id=""), name="stops_by_external_id"),
        ]

    def __str__(self) -> str:
        return self.name


class ShiftQuerySet(models.QuerySet["Shift"]):
    def covering(self, at: datetime) -> Self:
        return self.filter(starts_at__lte=at, ends_at__gte=at)


class TsTzRange(models.Func):
    """tstzrange(from, to, '[)'): two shifts may touch."""

    function = "TSTZRANGE"
    output_field = DateTimeRangeField()


def _one_at_a_time(name: str, message: Any) -> ExclusionConstraint:
    span = TsTzRange("starts_at", "ends_at", RangeBoundary())
    return ExclusionConstraint(
        name=f"one_shift_at_a_time_per_{name}", expressions=[(span, "&&"), (name, "=")], violation_error_message=message
    )


class Shift(models.Model):
    """Who drives which vehicle from when to when."""

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="shifts")
    vehicle = models.ForeignKey(Vehicle, models.CASCADE, related_name="shifts")
    driver = models.ForeignKey(Driver, models.PROTECT, related_name="shifts")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    objects = ShiftQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="shift_ends_after_it_starts"),
            _one_at_a_time("vehicle", _("This vehicle is on another shift then.")),
            _one_at_a_time("driver", _("This driver is on another shift then.")),
        ]
        indexes = [models.Index(fields=["vehicle", "starts_at"], name="shifts_of_a_vehicle")]

    def __str__(self) -> str:
        return f"{self.driver} · {self.vehicle} · {self.starts_at:%d %b %H:%M}"


class IdToken(models.Model):
    """An RFID card or app token that may start charging. Compared without case (OCPP 1.6 idTag is CiString20)."""

    class Kind(models.TextChoices):
        RFID = "RFID", "RFID"
        APP = "APP_USER", _("App")
        VEHICLE = "VEHICLE", _("Vehicle (MAC or contract)")

    organisation = models.ForeignKey(Organisation, models.PROTECT, related_name="id_tokens")
    uid = models.CharField(max_length=36)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.RFID)
    vehicle = models.ForeignKey(Vehicle, models.SET_NULL, null=True, blank=True, related_name="id_tokens")
    driver = models.ForeignKey(Driver, models.SET_NULL, null=True, blank=True, related_name="id_tokens")
    is_active = models.BooleanField(default=True)
    valid_until = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True, help_text=_("Networks ask for what changed since."))

    class Meta:
        constraints = [models.UniqueConstraint(Lower("uid"), name="one_owner_per_token")]
        indexes = [models.Index(fields=["organisation", "updated_at"], name="tokens_changed_since")]

    def __str__(self) -> str:
        return self.uid

    def is_valid(self, now: datetime | None = None) -> bool:
        return self.is_active and (self.valid_until is None or self.valid_until > (now or timezone.now()))


class PositionQuerySet(models.QuerySet["Position"]):
    def of_vehicle(self, vehicle_id: int, start: datetime, end: datetime) -> Self:
        """One vehicle's pings in time order, both ends included; reads the primary key of the days in between."""
        return self.filter(vehicle_id=vehicle_id, fix_at__gte=start, fix_at__lte=end).order_by("fix_at")

    def plausible(self) -> Self:
        """Without jumps no vehicle can make."""
        return self.annotate(jump=F("flags").bitand(SUSPECT_POSITION)).filter(jump=0)


class Position(models.Model):
    """One accepted ping. Partitioned by day of `fix_at`; integers without padding keep a row at 68 bytes.

    The table is made by a migration (PARTITION BY RANGE, default partition for stragglers); the primary key
    (vehicle, fix_at) is the dedupe key. `flags`: 1 clock corrected, 2 suspect jump, 4 late, 8 charging, 16 mock
    location, 32 suspect charge (vehicles/fixes.py).
    """

    pk = models.CompositePrimaryKey("vehicle_id", "fix_at")
    vehicle = models.ForeignKey(
        Vehicle, models.DO_NOTHING, db_constraint=False, related_name="positions", db_index=False
    )
    fix_at = models.DateTimeField()
    latitude_e7 = models.IntegerField()
    longitude_e7 = models.IntegerField()
    speed_dkmh = models.SmallIntegerField(null=True, help_text=_("0.1 km/h"))
    heading_deg = models.SmallIntegerField(null=True)
    accuracy_m = models.SmallIntegerField(null=True)
    soc_permille = models.SmallIntegerField(null=True, help_text=_("0.1 %"))
    odometer_m = models.IntegerField(null=True)
    delay_cs = models.IntegerField(default=0, help_text=_("0.01 s, from the fix to the receipt."))
    flags = models.SmallIntegerField(default=0)

    objects = PositionQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "vehicles_position"

    def __str__(self) -> str:
        return f"{self.vehicle_id} @ {self.fix_at}"

    @property
    def received_at(self) -> datetime:
        return self.fix_at + self.delay_cs * CENTISECOND

    @received_at.setter
    def received_at(self, at: datetime) -> None:
        self.delay_cs = (at - self.fix_at) // CENTISECOND

    @property
    def latitude(self) -> float:
        return self.latitude_e7 / 1e7

    @property
    def longitude(self) -> float:
        return self.longitude_e7 / 1e7

    @property
    def speed_kmh(self) -> float | None:
        return None if self.speed_dkmh is None else self.speed_dkmh / 10

    @property
    def soc_percent(self) -> float | None:
        """The charge as reported; None also when the reading was suspect."""
        return None if self.soc_permille is None or self.flags & SUSPECT_SOC else self.soc_permille / 10

    @property
    def is_charging(self) -> bool:
        return bool(self.flags & CHARGING)

    @property
    def is_suspect(self) -> bool:
        return bool(self.flags & SUSPECT_POSITION)


class UnknownDeviceQuerySet(models.QuerySet["UnknownDevice"]):
    def for_organisation(self, organisation: Organisation) -> Self:
        return self.filter(organisation=organisation)


class UnknownDevice(models.Model):
    """A tracker that reports and belongs to nobody yet; claimed with one click.

    `organisation` is whose API key carried the message; None when only the device's own id did (OsmAnd). Such an id is
    the tracker's secret, so it is listed to nobody and claimed by whoever knows it.
    """

    organisation = models.ForeignKey(Organisation, models.CASCADE, null=True, blank=True, related_name="+")
    device_id = models.CharField(max_length=64)
    messages = models.PositiveIntegerField(default=0)
    last_message = models.TextField(blank=True)
    first_seen_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now)

    objects = UnknownDeviceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["device_id", "organisation"], name="one_row_per_unknown_device", nulls_distinct=False
            )
        ]

    def __str__(self) -> str:
        return self.device_id


# Files of their own; Django looks for them here.
from vehicles.assignments import DeviceAssignment as DeviceAssignment  # noqa: E402
from vehicles.clouds import VehicleCloud as VehicleCloud  # noqa: E402
from vehicles.geofences.models import Geofence as Geofence  # noqa: E402
from vehicles.geofences.models import GeofenceCursor as GeofenceCursor  # noqa: E402
from vehicles.geofences.models import GeofenceEvent as GeofenceEvent  # noqa: E402
from vehicles.geofences.models import GeofenceSet as GeofenceSet  # noqa: E402
from vehicles.geofences.models import GeofenceStanding as GeofenceStanding  # noqa: E402
from vehicles.packets import RawPacket as RawPacket  # noqa: E402
from vehicles.trackers import TrackerAlarm as TrackerAlarm  # noqa: E402
from vehicles.trips.models import Stretch as Stretch  # noqa: E402
from vehicles.trips.models import VehicleDay as VehicleDay  # noqa: E402
