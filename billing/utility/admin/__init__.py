"""Finance's desk for electricity bills: supplies, bills, and who bears them."""

from billing.utility.admin import allocations, bills, supplies

__all__ = ["allocations", "bills", "supplies"]
