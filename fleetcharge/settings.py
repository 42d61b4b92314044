"""Every setting in reading order; each value comes from the environment and has a working default."""

import contextlib
import ipaddress
import os
import re
import sys
from datetime import date
from pathlib import Path
from typing import Any

from django.templatetags.static import static
from psycopg.conninfo import conninfo_to_dict

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("FLEETCHARGE_VAR_DIR", BASE_DIR / "var"))


def _flag(name: str, default: bool) -> bool:
    return os.environ.get(name, str(int(default))).lower() in {"1", "true", "yes", "on"}


def _list(name: str, default: str) -> list[str]:
    return [part.strip() for part in os.environ.get(name, default).split(",") if part.strip()]


def _networks(name: str, default: str) -> list[str]:
    """Addresses and networks; a misspelled one would trust nobody in silence, so it raises."""
    return [str(ipaddress.ip_network(part, strict=False)) for part in _list(name, default)]


def _chosen(name: str, default: str) -> list[str]:
    """Some of the default's words, in an order of one's own; a misspelled one raises."""
    chosen = _list(name, default)
    if unknown := set(chosen) - set(default.split(",")):
        raise ValueError(f"{name} knows {default}, not {', '.join(sorted(unknown))}")
    return chosen


def _dated_factors(name: str, default: str) -> list[tuple[date, int, str]]:
    """`first day=grams per kWh=source`, separated by semicolons, in order; one that cannot be read raises."""
    told = [part.split("=", 2) for part in os.environ.get(name, default).split(";") if part.strip()]
    try:
        factors = sorted((date.fromisoformat(day.strip()), int(grams), source.strip()) for day, grams, source in told)
    except ValueError as error:
        raise ValueError(f"{name} wants day=grams=source; day=grams=source, such as {default}") from error
    if not factors or any(grams < 0 or not source for _day, grams, source in factors):
        raise ValueError(f"{name} wants at least one factor, none below 0, each with its source")
    return factors


def _rate(name: str, default: str, *, most: float) -> float:
    """Times a second; one that could never be kept raises."""
    hz = float(os.environ.get(name, default))
    if not 0 < hz <= most:
        raise ValueError(f"{name} is a rate above 0 and at most {most:g}, not {hz:g}")
    return hz


def _server(name: str) -> str:
    """Address of a server, or nothing; one that could never be asked raises."""
    url = os.environ.get(name, "").strip()
    if url and not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url):
        raise ValueError(f"{name} is no address such as http://10.0.0.5:8002")
    return url


# --- Who may talk to us -------------------------------------------------------------------------------------------
DEBUG = _flag("FLEETCHARGE_DEBUG", False)
ALLOWED_HOSTS = _list("FLEETCHARGE_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1],testserver")
CSRF_TRUSTED_ORIGINS = _list("FLEETCHARGE_TRUSTED_ORIGINS", "")
BEHIND_TLS = _flag("FLEETCHARGE_BEHIND_TLS", False)
WEB_PORT = int(os.environ.get("FLEETCHARGE_WEB_PORT", "8000"))
# The browser opens its live socket on this port of the same host; 0 means the page's own port (behind a proxy).
REALTIME_PORT = int(os.environ.get("FLEETCHARGE_REALTIME_PORT", "0"))
TRUSTED_PROXIES = _networks("FLEETCHARGE_TRUSTED_PROXIES", "127.0.0.1,::1")


def _secret_key() -> str:
    """From the environment, else one made once and kept private under var/."""
    if value := os.environ.get("FLEETCHARGE_SECRET_KEY"):
        return value
    path = VAR_DIR / "secret_key"
    if not path.exists():
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(os.urandom(48).hex())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)  # two first starts agree on one key
        fresh.unlink()
    return path.read_text()


SECRET_KEY = _secret_key()
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 31_536_000
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# The simulated city: `make run` switches it on; by itself it is there only where the embedded engines are.
DEMO = _flag("FLEETCHARGE_DEMO", not os.environ.get("DATABASE_URL"))

# --- What it is made of -------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    *(["daphne"] if "runserver" in sys.argv else []),  # its reactor costs every other process half a second
    "unfold",
    "fleetcharge.admin_site.FleetAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "channels",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_htmx",
    "leaflet",
    "fleetcharge.accounts",
    "fleetcharge.webhooks",
    "stations",
    "vehicles",
    "billing",
    "dispatch",
    "ocpp_bridge",
    *(["fleetcharge.demo"] if DEMO else []),
]
MIDDLEWARE = [
    *(["fleetcharge.run_token.run_token"] if os.environ.get("FLEETCHARGE_RUN_TOKEN") else []),
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "fleetcharge.accounts.middleware.OrganisationMiddleware",
    "fleetcharge.accounts.middleware.ContentSecurityPolicyMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "fleetcharge.lib.api.UTCMiddleware",
    "fleetcharge.accounts.idempotency.IdempotencyMiddleware",
]
ROOT_URLCONF = "fleetcharge.urls"
ASGI_APPLICATION = "fleetcharge.asgi.application"
WSGI_APPLICATION = "fleetcharge.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "fleetcharge.accounts.context.page",
            ]
        },
    }
]

# --- Engines: real PostgreSQL and Valkey/Redis, embedded when no URL is given (see fleetcharge/embedded) -----------
DATABASE_URL = os.environ.get("DATABASE_URL", "")
REDIS_URL = os.environ.get("REDIS_URL", "")
if not DATABASE_URL or not REDIS_URL:
    from fleetcharge.embedded import provide_engines

    _engines = provide_engines()
    DATABASE_URL, REDIS_URL = _engines.database_url, _engines.redis_url


def _database(url: str) -> dict[str, Any]:
    """A libpq URL as Django wants it; unknown parameters (sslmode, ...) go to the driver untouched."""
    parts = {str(key): str(value) for key, value in conninfo_to_dict(url).items()}
    main = {key: parts.pop(key, "") for key in ("dbname", "user", "password", "host", "port")}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": main["dbname"],
        "USER": main["user"],
        "PASSWORD": main["password"],
        "HOST": main["host"],
        "PORT": main["port"],
        "CONN_MAX_AGE": int(os.environ.get("FLEETCHARGE_DB_CONN_MAX_AGE", "600")),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"application_name": "fleetcharge", **parts},
    }


DATABASES = {"default": _database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},  # a frozen Valkey must not freeze us
    }
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}]},
    }
}

# --- Background work ----------------------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = 120
CELERY_WORKER_PREFETCH_MULTIPLIER = 4
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 600, "socket_timeout": 10, "socket_keepalive": True}
CELERY_TIMEZONE = "UTC"
CELERY_TASK_ALWAYS_EAGER = False
CELERY_BEAT_SCHEDULER = "fleetcharge.lib.beat:SingleScheduler"

# --- People -------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Without a mail server, invitations are shown to the owner who makes them instead of being sent.
EMAIL_HOST = os.environ.get("FLEETCHARGE_EMAIL_HOST", "")
EMAIL_PORT = int(os.environ.get("FLEETCHARGE_EMAIL_PORT", "587"))
EMAIL_HOST_USER = os.environ.get("FLEETCHARGE_EMAIL_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("FLEETCHARGE_EMAIL_PASSWORD", "")
EMAIL_USE_SSL = EMAIL_PORT == 465
EMAIL_USE_TLS = EMAIL_PORT == 587
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = os.environ.get("FLEETCHARGE_EMAIL_FROM", "FleetCharge <noreply@localhost>")
SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_SAMESITE = "Lax"

# --- Language, time, numbers --------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("hi", "हिन्दी")]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "Asia/Kolkata"
USE_TZ = True
USE_I18N = True
FORMAT_MODULE_PATH = ["fleetcharge.formats"]
# Never by default: it would also group ids in links and data attributes. People get the `grouped` filter.
USE_THOUSAND_SEPARATOR = False

# --- Files --------------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": os.environ.get(
            "FLEETCHARGE_STATIC_STORAGE", "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = False
MEDIA_ROOT = VAR_DIR / "media"

# --- API ----------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "fleetcharge.accounts.authentication.APIKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["fleetcharge.accounts.permissions.HasScope"],
    "DEFAULT_PAGINATION_CLASS": "fleetcharge.lib.api.CursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "fleetcharge.lib.api.exception_handler",
    "DEFAULT_THROTTLE_CLASSES": ["fleetcharge.accounts.rates.KeyRate"],
    "PAGE_SIZE": 100,
    "COERCE_DECIMAL_TO_STRING": True,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
API_RATE = os.environ.get("FLEETCHARGE_API_RATE", "6000/min")
SPECTACULAR_SETTINGS = {
    "TITLE": "FleetCharge API",
    "DESCRIPTION": "One registry of chargers, one wallet, one dispatch API over every network.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "PlanState": "dispatch.models.ChargePlan.State",
        "ReservationState": "dispatch.models.Reservation.State",
        "DocumentKind": "billing.invoicing.models.TaxDocument.Kind",
        "PaymentKind": "billing.models.PaymentIntent.Kind",
        "ReceiverKind": "billing.models.PaymentReceiver.Kind",
        "MandateKind": "billing.models.Mandate.Kind",
        "SessionState": "billing.models.ChargingSession.State",
        "CommandState": "ocpp_bridge.models.Command.State",
        "NetworkState": "stations.models.Source.State",
        "PollResult": "stations.models.PollRun.Result",
        "ConnectorStatusEnum": "stations.models.Connector.Status",
    },
    # Raw routes belong in the same file.
    "PREPROCESSING_HOOKS": ["vehicles.schema.add_ingest_routes", "stations.stream.schema.add_stream_route"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "fleetcharge.api_schema.complete",
    ],
}

# --- Map: no request to outside hosts unless the operator asks for it ---------------------------------------------
TILES_URL = os.environ.get("FLEETCHARGE_TILES_URL", "")
TILES_ATTRIBUTION = os.environ.get("FLEETCHARGE_TILES_ATTRIBUTION", "")
LIVE_HZ = _rate("FLEETCHARGE_LIVE_HZ", "10", most=60)
LEAFLET_CONFIG = {"TILES": [], "RESET_VIEW": False, "ATTRIBUTION_PREFIX": "", "NO_GLOBALS": False}

# --- How we judge the world ---------------------------------------------------------------------------------------
STATUS_LIVE_SECONDS = int(os.environ.get("FLEETCHARGE_STATUS_LIVE_SECONDS", "300"))
STATUS_RECENT_SECONDS = int(os.environ.get("FLEETCHARGE_STATUS_RECENT_SECONDS", "1800"))
STATUS_STALE_SECONDS = int(os.environ.get("FLEETCHARGE_STATUS_STALE_SECONDS", "86400"))
FORECAST_PLUGS = int(os.environ.get("FLEETCHARGE_FORECAST_PLUGS", "200"))
OCPP_HEARTBEAT_SECONDS = int(os.environ.get("FLEETCHARGE_OCPP_HEARTBEAT_SECONDS", "300"))
OCPP_MESSAGES_PER_SECOND = float(os.environ.get("FLEETCHARGE_OCPP_MESSAGES_PER_SECOND", "20"))
OCPP_MESSAGES_BURST = float(os.environ.get("FLEETCHARGE_OCPP_MESSAGES_BURST", "200"))
OCPP_UNKNOWN_CHARGERS = os.environ.get("FLEETCHARGE_OCPP_UNKNOWN_CHARGERS", "refuse")
OCPP_ONBOARD_ORGANISATION = os.environ.get("FLEETCHARGE_OCPP_ONBOARD_ORGANISATION", "")
OCPP_DEFAULT_SUBPROTOCOL = os.environ.get("FLEETCHARGE_OCPP_DEFAULT_SUBPROTOCOL", "")
OCPP_MAX_FRAME_BYTES = int(os.environ.get("FLEETCHARGE_OCPP_MAX_FRAME_BYTES", str(1024 * 1024)))
OCPP_SET_SAMPLING = _flag("FLEETCHARGE_OCPP_SET_SAMPLING", default=True)
OCPP_QUIRKS_FILE = os.environ.get("FLEETCHARGE_OCPP_QUIRKS_FILE", "")
OCPP_CALL_TIMEOUT_SECONDS = float(os.environ.get("FLEETCHARGE_OCPP_CALL_TIMEOUT_SECONDS", "30"))
OCPP_CONNECTION_TIMEOUT_SECONDS = int(os.environ.get("FLEETCHARGE_OCPP_CONNECTION_TIMEOUT_SECONDS", "120"))
OCPP_DRAIN_SECONDS = float(os.environ.get("FLEETCHARGE_OCPP_DRAIN_SECONDS", "60"))
OCPP_CUT_OFF_SECONDS = float(os.environ.get("FLEETCHARGE_OCPP_CUT_OFF_SECONDS", "60"))
OCPP_COMMAND_DAYS = int(os.environ.get("FLEETCHARGE_OCPP_COMMAND_DAYS", "180"))
OCPP_DATABASE_THREADS = int(os.environ.get("FLEETCHARGE_OCPP_DATABASE_THREADS", "4"))
OCPP_RECORD_DAYS = int(os.environ.get("FLEETCHARGE_OCPP_RECORD_DAYS", "7"))
OCPP_ODD_DAYS = int(os.environ.get("FLEETCHARGE_OCPP_ODD_DAYS", "90"))
OCPP_FACT_DAYS = int(os.environ.get("FLEETCHARGE_OCPP_FACT_DAYS", "730"))
OCPP_ODD_MESSAGES = int(os.environ.get("FLEETCHARGE_OCPP_ODD_MESSAGES", "1000"))
OCPP_UPLOAD_MAX_BYTES = int(os.environ.get("FLEETCHARGE_OCPP_UPLOAD_MAX_BYTES", str(64 * 1024 * 1024)))
OCPP_UPLOAD_DAYS = int(os.environ.get("FLEETCHARGE_OCPP_UPLOAD_DAYS", "30"))
OCPP_CA_KEY = os.environ.get("FLEETCHARGE_OCPP_CA_KEY", "")
OCPP_CA_CERTIFICATE = os.environ.get("FLEETCHARGE_OCPP_CA_CERTIFICATE", "")
OCPP_CERTIFICATE_DAYS = int(os.environ.get("FLEETCHARGE_OCPP_CERTIFICATE_DAYS", "365"))
OCPP_CERTIFICATE_WARNING_DAYS = int(os.environ.get("FLEETCHARGE_OCPP_CERTIFICATE_WARNING_DAYS", "30"))
METRICS_TOKEN = os.environ.get("FLEETCHARGE_METRICS_TOKEN", "")
METRICS_ADDRESSES = _list("FLEETCHARGE_METRICS_ADDRESSES", "127.0.0.1,::1")
OCPI_ALLOW_PRIVATE_HOSTS = _flag("FLEETCHARGE_OCPI_ALLOW_PRIVATE_HOSTS", False)
OCPI_PEER_RATE = os.environ.get("FLEETCHARGE_OCPI_PEER_RATE", "20/s")
POLLS_AT_ONCE = int(os.environ.get("FLEETCHARGE_POLLS_AT_ONCE", "4"))
OCPI_PUSH_RATE = os.environ.get("FLEETCHARGE_OCPI_PUSH_RATE", "60000/min")
WEBHOOK_ALLOW_PRIVATE_HOSTS = _flag("FLEETCHARGE_WEBHOOK_ALLOW_PRIVATE_HOSTS", False)
WEBHOOK_TIMEOUT_SECONDS = float(os.environ.get("FLEETCHARGE_WEBHOOK_TIMEOUT_SECONDS", "10"))
WEBHOOK_SESSION_SECONDS = int(os.environ.get("FLEETCHARGE_WEBHOOK_SESSION_SECONDS", "60"))
WEBHOOK_DISABLE_DAYS = int(os.environ.get("FLEETCHARGE_WEBHOOK_DISABLE_DAYS", "5"))
WEBHOOK_RETENTION_DAYS = int(os.environ.get("FLEETCHARGE_WEBHOOK_RETENTION_DAYS", "30"))
PUBLIC_BASE_URL = os.environ.get("FLEETCHARGE_PUBLIC_URL", f"http://127.0.0.1:{REALTIME_PORT or WEB_PORT}")
RESERVATION_MINUTES = int(os.environ.get("FLEETCHARGE_RESERVATION_MINUTES", "30"))
DRIVER_LINK_HOURS = int(os.environ.get("FLEETCHARGE_DRIVER_LINK_HOURS", "12"))
ROADS_DIR = VAR_DIR / "roads"  # what manage.py load_osm made
BASEMAP_FILE = VAR_DIR / "basemap.pmtiles"  # what manage.py build_basemap made
ROAD_ENGINES = _chosen("FLEETCHARGE_ROAD_ENGINES", "cch,valhalla,osrm")
VALHALLA_URL = _server("FLEETCHARGE_VALHALLA_URL")
OSRM_URL = _server("FLEETCHARGE_OSRM_URL")
TRACKER_NETWORKS = _list("FLEETCHARGE_TRACKER_NETWORKS", "127.0.0.0/8,::1/128")  # whose word for an IMEI is taken
MQTT_URL = os.environ.get("FLEETCHARGE_MQTT_URL", "")  # the broker of manage.py mqtt_pings
POSITION_RETENTION_DAYS = int(os.environ.get("FLEETCHARGE_POSITION_RETENTION_DAYS", "35"))
# What a kWh from the grid emits: the average of India's grid with imports, as the Central Electricity Authority tells.
GRID_FACTORS = _dated_factors(
    "FLEETCHARGE_GRID_FACTORS",
    "2023-04-01=727=CEA CO2 Baseline Database, version 20.0 (2023-24);"
    "2024-04-01=710=CEA CO2 Baseline Database, version 21.0 (2024-25)",
)
BILL_FILE_RETENTION_DAYS = int(os.environ.get("FLEETCHARGE_BILL_FILE_RETENTION_DAYS", "30"))
AUTHORISATION_RETENTION_DAYS = int(os.environ.get("FLEETCHARGE_AUTHORISATION_RETENTION_DAYS", "90"))
SUPPLIER_GSTIN = os.environ.get("FLEETCHARGE_SUPPLIER_GSTIN", "")
IRP_URL = os.environ.get("FLEETCHARGE_IRP_URL", "")
IRP_TOKEN = os.environ.get("FLEETCHARGE_IRP_TOKEN", "")
IRP_TIMEOUT_SECONDS = float(os.environ.get("FLEETCHARGE_IRP_TIMEOUT_SECONDS", "20"))

# What one person alone may do of a kind within 24 hours for one fleet; every other kind and amount needs a second one.
APPROVAL_FREE_PAISE = {
    kind: int(rupees) * 100
    for kind, _, rupees in (
        part.partition("=") for part in _list("FLEETCHARGE_APPROVAL_FREE_RUPEES", "top_up=1000,goodwill=500")
    )
}
APPROVAL_DAYS = int(os.environ.get("FLEETCHARGE_APPROVAL_DAYS", "14"))

# --- Payments: the bundled emulator unless the real service is named ------------------------------------------------
PAYMENT_GATEWAY = os.environ.get("FLEETCHARGE_PAYMENT_GATEWAY", "emulator")
PAYMENT_EMULATOR_URL = os.environ.get("FLEETCHARGE_PAYMENT_EMULATOR_URL", "http://127.0.0.1:8011")
RAZORPAY_URL = os.environ.get("FLEETCHARGE_RAZORPAY_URL", "https://api.razorpay.com")
RAZORPAY_CHECKOUT_URL = os.environ.get("FLEETCHARGE_RAZORPAY_CHECKOUT_URL", "")
RAZORPAY_KEY_ID = os.environ.get("FLEETCHARGE_RAZORPAY_KEY_ID", "")
RAZORPAY_KEY_SECRET = os.environ.get("FLEETCHARGE_RAZORPAY_KEY_SECRET", "")
RAZORPAY_WEBHOOK_SECRETS = _list("FLEETCHARGE_RAZORPAY_WEBHOOK_SECRETS", "")
RAZORPAY_TIMEOUT_SECONDS = float(os.environ.get("FLEETCHARGE_RAZORPAY_TIMEOUT_SECONDS", "10"))

# --- Log lines ----------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "fleetcharge.lib.logs.DiscreetFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": os.environ.get("FLEETCHARGE_LOG_LEVEL", "INFO")},
    "loggers": {
        "django": {"level": "INFO"},  # without Django's own handlers, which write addresses as they are
        "django.server": {"level": "INFO", "handlers": ["console"], "propagate": False},
        "ocpp": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
    },
}

# --- Finance admin ------------------------------------------------------------------------------------------------
UNFOLD = {
    "SITE_TITLE": "FleetCharge",
    "SITE_HEADER": "FleetCharge finance",
    "SITE_URL": "/dispatch/",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "8px",
    "DASHBOARD_CALLBACK": "billing.dashboard.finance_home",
    "SITE_ICON": lambda request: static("icons/fleetcharge.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("icons/fleetcharge.svg")},
    ],
    "SCRIPTS": [lambda request: static("js/admin-landmarks.js")],
    "STYLES": [lambda request: static("css/letters.css"), lambda request: static("css/admin.css")],
    "COLORS": {"primary": {
        "50": "#eef2ff", "100": "#e0e7ff", "200": "#c7d4fe", "300": "#a5b9fc", "400": "#93abff", "500": "#6c8cff",
        "600": "#2f5bea", "700": "#2450d8", "800": "#1e40af", "900": "#1e3a8a", "950": "#1b2748",
    }},
}  # fmt: skip
