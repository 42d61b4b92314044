"""The types every OCPI object is made of: instants, ids, numbers, prices."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

NOT_AVAILABLE = "#NA"


def as_utc(value: Any) -> Any:
    """OCPI DateTime: no offset means UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value


def now_text(at: datetime) -> str:
    """OCPI DateTime, UTC with Z, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def exact_text(at: datetime) -> str:
    """OCPI DateTime, UTC with Z and milliseconds: what it was is what it will be."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) else value


def _rounded(value: Any) -> Any:
    return round(float(value)) if isinstance(value, float | str) else value


def _decimal(value: Any) -> Any:
    """By way of the shortest text of a float, so that 19.5 stays 19.5."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Instant = Annotated[datetime, BeforeValidator(as_utc)]
Text = Annotated[str, BeforeValidator(_as_text)]
Id = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=48, pattern=r"^[\x20-\x7e]+$")]
Whole = Annotated[int, BeforeValidator(_rounded), Field(ge=0, le=20_000_000)]
Number = Annotated[Decimal, BeforeValidator(_decimal), Field(allow_inf_nan=False, ge=-(10**9), le=10**9)]
CountryCode = Annotated[str, Field(min_length=2, max_length=2)]
PartyId = Annotated[str, Field(min_length=1, max_length=3)]


class Wire(BaseModel):
    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, values: Any) -> Any:
        """`null` is how many peers say "not given", and `""`, `[]` or `{}` where the field is another kind of thing;
        a NUL character is nothing a database takes. An empty currency is refused: it does not say rupees.
        """
        if not isinstance(values, dict):
            return values
        told = {name: value for name, value in values.items() if not cls._is_left_out(name, value)}
        return {name: value.replace("\0", "") if isinstance(value, str) else value for name, value in told.items()}

    @classmethod
    def _is_left_out(cls, name: str, value: Any) -> bool:
        """An empty one of a field that may be left out (PHP, for one, writes an empty object as a list). An empty list
        where a list belongs is a word of its own: no `taxes` differ from taxes that nobody told.
        """
        field = cls.model_fields.get(name)
        if value is None or field is None or field.is_required() or value not in ("", [], {}):
            return value is None
        return name != "currency" and not (value == [] and _is_list(field.annotation))


def _is_list(annotation: Any) -> bool:
    """Whether `list[...]` belongs there, perhaps besides None."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return any(get_origin(each) is list for each in options)


class TaxAmount(Wire):
    """One tax of a Price (OCPI 2.3.0), such as CGST; `percentage` None: not told."""

    name: str = "VAT"
    account_number: str | None = None
    percentage: Number | None = None
    amount: Number


class Price(Wire):
    """OCPI 2.3.0 Price. `taxes` None: the peer did not say, which differs from a price without tax."""

    before_taxes: Number
    taxes: list[TaxAmount] | None = None

    @property
    def after_taxes(self) -> Decimal | None:
        return None if self.taxes is None else self.before_taxes + sum(tax.amount for tax in self.taxes)


class PriceLimit(Wire):
    """Least or most of a session (OCPI 2.3.0)."""

    before_taxes: Number
    after_taxes: Number | None = None


class DisplayText(Wire):
    language: str = "en"
    text: str = ""


class BusinessDetails(Wire):
    name: str = ""


def key(country_code: str, party_id: str, object_id: str) -> str:
    """How an object of a peer is called among ours (CiStrings: compared without case)."""
    return f"{country_code}*{party_id}*{object_id}"


def plain(value: Any) -> Any:
    """NUL characters out of everything, however deep: JSON that a database takes."""
    if isinstance(value, str):
        return value.replace("\0", "")
    if isinstance(value, Mapping):
        return {str(name).replace("\0", ""): plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value
