"""What dispatch shows on the desk."""

from dispatch.forecasts import admin as forecasts  # noqa: F401 (Django looks for admins here)
from dispatch.speeds import admin as speeds  # noqa: F401
