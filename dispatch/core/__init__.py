"""Pure arithmetic of dispatch: no Django, no clock, no database. The same snapshot gives the same plan."""

VERSION = "3"
"""Goes into every stored plan; changes whenever the same snapshot would give another plan."""
