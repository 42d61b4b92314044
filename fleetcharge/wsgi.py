"""Pages, API and admin for the web process."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetcharge.settings")
application = get_wsgi_application()
