"""Does the evidence agree that this vehicle charged here? Pure."""

from billing.matching.v2026_11_1 import *  # noqa: F403
