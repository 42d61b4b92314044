"""Where a supply takes place, and which taxes follow from it. Pure.

Services to a registered recipient are supplied where it is registered (IGST Act, section 12(2)(a)); to anybody else
where its address on record is, or where the supplier is. A unit in a special economic zone is always another place:
integrated tax, or none under a letter of undertaking (sections 7(5)(b) and 16).
"""

from dataclasses import dataclass

from billing.gst.states import WITHOUT_LEGISLATURE


@dataclass(frozen=True)
class Supply:
    """`kind` as the e-invoice calls it (B2C has none there): B2B, SEZWP (with payment), SEZWOP (without), B2C."""

    place_of_supply: str
    kind: str
    is_interstate: bool

    @property
    def is_zero_rated(self) -> bool:
        return self.kind == "SEZWOP"

    @property
    def state_head(self) -> str:
        """The name of the state's part of the tax."""
        return "UTGST" if self.place_of_supply in WITHOUT_LEGISLATURE else "SGST"


def supply_between(
    *,
    supplier_state: str,
    recipient_state: str = "",
    is_registered: bool = False,
    is_sez: bool = False,
    has_undertaking: bool = False,
) -> Supply:
    """`recipient_state` '': unknown, taken as the supplier's own."""
    place = recipient_state or supplier_state
    if is_sez:
        return Supply(place, "SEZWOP" if has_undertaking else "SEZWP", True)
    return Supply(place, "B2B" if is_registered else "B2C", place != supplier_state)
