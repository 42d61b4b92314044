"""The parameters of commands, the same for every OCPP version, as the API takes and documents them."""

from typing import Any

from rest_framework import serializers

from ocpp_bridge.station import MAX_SMALL

INT32 = 2**31 - 1
PURPOSES = ("tx", "tx_default", "station_max")
UNITS = ("W", "A")
MESSAGES = (
    "BootNotification", "Heartbeat", "StatusNotification", "MeterValues", "DiagnosticsStatusNotification",
    "FirmwareStatusNotification", "LogStatusNotification", "SignChargingStationCertificate", "TransactionEvent",
)  # fmt: skip
CERTIFICATES = ("csms_root", "manufacturer_root", "v2g_root", "mo_root", "v2g_chain")
LIST_STATUSES = ("accepted", "blocked", "expired", "invalid", "concurrent", "no_credit", "not_here", "not_now")
MONITORS = ("upper", "lower", "delta", "periodic", "clock")
INTERFACES = (*(f"wired{number}" for number in range(4)), *(f"wireless{number}" for number in range(4)))
CRITERIA = ("active", "available", "enabled", "problem", "threshold", "delta", "periodic")


class Strict(serializers.Serializer[Any]):
    """What we do not know we do not swallow."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            raise serializers.ValidationError(dict.fromkeys(unknown, "There is no such parameter."))
        return super().to_internal_value(data)


def _number(*, low: int = 0, high: int = INT32, **more: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=low, max_value=high, required=False, **more)


def _text(limit: int, **more: Any) -> serializers.CharField:
    return serializers.CharField(max_length=limit, required=False, **more)


def _word(*words: str, **more: Any) -> serializers.ChoiceField:
    return serializers.ChoiceField(words, required=False, **more)


def _instant(**more: Any) -> serializers.DateTimeField:
    return serializers.DateTimeField(required=False, **more)


def _amount(**more: Any) -> serializers.DecimalField:
    return serializers.DecimalField(max_digits=12, decimal_places=4, min_value=0, required=False, **more)


class VariableSerializer(Strict):
    """One variable of an OCPP 2.x component; `value` is only for setting it."""

    component = serializers.CharField(max_length=50)
    component_instance = _text(50)
    variable = _text(50)
    variable_instance = _text(50)
    evse_number = _number(high=MAX_SMALL)
    connector_id = _number(low=1, high=MAX_SMALL)
    attribute = _word("Actual", "Target", "MinSet", "MaxSet")
    value = _text(2500, allow_blank=True)


class ListEntrySerializer(Strict):
    """One token of a local list; without `status` it is taken off (differential updates)."""

    id_token = serializers.CharField(max_length=36)
    token_type = _text(20)
    status = _word(*LIST_STATUSES)
    expires_at = _instant()
    group_id = _text(36)


class PeriodSerializer(Strict):
    start_seconds = serializers.IntegerField(min_value=0, max_value=INT32)
    limit = serializers.DecimalField(max_digits=12, decimal_places=3, min_value=0)
    phases = _number(low=1, high=3)


class ProfileSerializer(Strict):
    """OCPP 1.6 section 7.8, OCPP 2.0.1 part 2 K01. Limits are cut to steps of 0.1."""

    profile_id = serializers.IntegerField(min_value=0, max_value=INT32)
    stack_level = serializers.IntegerField(min_value=0, max_value=INT32)
    purpose = serializers.ChoiceField(PURPOSES)
    kind = serializers.ChoiceField(("absolute", "relative", "recurring"))
    recurrency = _word("daily", "weekly")
    valid_from = _instant()
    valid_to = _instant()
    unit = serializers.ChoiceField(UNITS)
    periods = PeriodSerializer(many=True, allow_empty=False, max_length=1024)  # type: ignore[call-arg]  # of the list
    duration_seconds = _number()
    start_at = _instant()
    min_charging_rate = _amount()


class MonitorSerializer(Strict):
    """One monitor of a variable (OCPP 2.x); `monitor_id` replaces the one of that number."""

    component = serializers.CharField(max_length=50)
    component_instance = _text(50)
    variable = serializers.CharField(max_length=50)
    variable_instance = _text(50)
    evse_number = _number(high=MAX_SMALL)
    connector_id = _number(low=1, high=MAX_SMALL)
    kind = serializers.ChoiceField(MONITORS)
    value = serializers.DecimalField(max_digits=16, decimal_places=4)
    severity = serializers.IntegerField(min_value=0, max_value=9)
    monitor_id = _number()
    is_while_charging = serializers.BooleanField(required=False)


class NetworkProfileSerializer(Strict):
    """How a charger reaches a system like ours (OCPP 2.x)."""

    url = serializers.CharField(max_length=512)
    interface = serializers.ChoiceField(INTERFACES)
    security_profile = serializers.IntegerField(min_value=0, max_value=3)
    timeout_seconds = serializers.IntegerField(min_value=1, max_value=3600)


class CertificateHashSerializer(Strict):
    hash_algorithm = serializers.ChoiceField(("SHA256", "SHA384", "SHA512"))
    issuer_name_hash = serializers.CharField(max_length=128)
    issuer_key_hash = serializers.CharField(max_length=128)
    serial_number = serializers.CharField(max_length=40)


class ParametersSerializer(Strict):
    """Version-neutral; which ones an action needs is checked beside it. EVSE 0 is the whole station."""

    evse_number = _number(high=MAX_SMALL, help_text="0: the whole station, or any EVSE.")
    connector_id = _number(low=1, high=MAX_SMALL)
    id_token = _text(36)
    token_type = _text(20)
    group_id = _text(36)
    transaction_ref = _text(36)
    reservation_number = _number(low=1)
    expires_at = _instant()
    message = _word(*MESSAGES)
    kind = _word("soft", "hard")
    is_operative = serializers.BooleanField(required=False, allow_null=True, default=None)
    keys = serializers.ListField(child=serializers.CharField(max_length=120), max_length=200, required=False)
    key = _text(120)
    value = _text(2500, allow_blank=True)
    variables = VariableSerializer(many=True, required=False, max_length=200)  # type: ignore[call-arg]  # of the list
    report = _word("full", "configuration", "summary")
    criteria = serializers.ListField(child=serializers.ChoiceField(CRITERIA), max_length=4, required=False)
    version = _number(low=1)
    update = _word("full", "differential")  # type: ignore[assignment]  # a field, the metaclass takes it away
    entries = ListEntrySerializer(many=True, required=False, max_length=5000)  # type: ignore[call-arg]  # of the list
    charging_profile = ProfileSerializer(required=False)
    profile_id = _number()
    purpose = _word(*PURPOSES)
    stack_level = _number()
    duration_seconds = _number(low=1)
    unit = _word(*UNITS)
    location = _text(2000)
    retrieve_at = _instant()
    install_at = _instant()
    retries = _number(high=100)
    retry_interval_seconds = _number()
    signing_certificate = _text(5500)
    signature = _text(800)
    log_type = _word("diagnostics", "security")
    oldest_at = _instant()
    latest_at = _instant()
    certificate_type = _word(*CERTIFICATES, "station", "v2g")
    certificate_types = serializers.ListField(child=serializers.ChoiceField(CERTIFICATES), required=False)
    certificate = _text(10_000)
    certificate_chain = _text(10_000)
    certificate_hash = CertificateHashSerializer(required=False)
    vendor_id = _text(255)
    message_id = _text(50)
    data = serializers.JSONField(required=False, help_text="OCPP 1.6 gets text.")  # type: ignore[assignment]  # a field
    total_cost = _amount()
    is_final = serializers.BooleanField(required=False)
    is_idle = serializers.BooleanField(required=False)
    at = _instant()
    meter_wh = _number(high=2**63 - 1)
    price_per_kwh = _amount()
    price_per_hour = _amount()
    flat_fee = _amount()
    message_number = _number()
    text = _text(1024)
    priority = _word("always", "front", "normal")
    display_state = _word("charging", "faulted", "idle", "unavailable")
    format = _word("ASCII", "HTML", "URI", "UTF8")
    language = _text(8)
    starts_at = _instant()
    ends_at = _instant()
    base = _word("all", "factory_default", "hard_wired_only")
    severity = _number(high=9)
    monitor_ids = serializers.ListField(child=serializers.IntegerField(min_value=0, max_value=INT32), required=False)
    monitors = MonitorSerializer(many=True, required=False, allow_empty=False, max_length=200)  # type: ignore[call-arg]
    slot = _number()
    network_profile = NetworkProfileSerializer(required=False)
    checksum = _text(32)
    customer = _text(64)
    is_told = serializers.BooleanField(required=False)
    is_deleted = serializers.BooleanField(required=False)
    tariff = serializers.DictField(required=False, help_text="A TariffType of OCPP 2.1.")
    tariff_ids = serializers.ListField(child=serializers.CharField(max_length=60), required=False)

    def to_internal_value(self, data: Any) -> Any:
        """Without the parameters that were not given (BooleanField would make them false)."""
        given = set(data) if isinstance(data, dict) else set()
        return {name: value for name, value in super().to_internal_value(data).items() if name in given}
