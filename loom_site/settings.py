"""All configuration: environment variables with safe defaults, one module; see docs/configuration.md."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange, Queue

from apps.core.api_examples import TAGS
from apps.core.broker import broker_url, celery_url
from apps.core.sqlite3.base import BUSY_MS
from loom_site.env import READ, env_bool, env_float, env_int, env_list, env_str

BASE_DIR = Path(__file__).resolve().parent.parent
LOOM_DATA_DIR = Path(env_str("LOOM_DATA_DIR") or BASE_DIR / ".loom").absolute()
DEBUG = env_bool("LOOM_DEBUG", False)
LOOM_READ = READ


def secret_key() -> str:
    """The key from the environment, else one made on first start and kept readable by its owner only."""
    if given := env_str("LOOM_SECRET_KEY"):
        return given
    path = LOOM_DATA_DIR / "secret_key"
    try:
        if path.exists() and (kept := path.read_text(encoding="ascii")):
            return kept
        LOOM_DATA_DIR.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii") as file:
            # Of two first starts at once one makes the key; one that could not be written is made now.
            fcntl.flock(file, fcntl.LOCK_EX)
            if not (key := file.read()):
                os.fchmod(file.fileno(), 0o600)
                key = secrets.token_urlsafe(50)
                file.write(key)
        return key
    except OSError:
        # The command that needs the data directory reports that it cannot be used.
        return secrets.token_urlsafe(50)


# -- The processes of `manage.py up` --------------------------------------------------------------
LOOM_HOST = env_str("LOOM_HOST", "127.0.0.1")
LOOM_PORT = env_int("LOOM_PORT", 8080)
LOOM_WEB_THREADS = env_int("LOOM_WEB_THREADS", 4)  # of each web process
LOOM_WEB_PROCESSES = env_int("LOOM_WEB_PROCESSES", 1)
LOOM_WORKER_PROCESSES = env_int("LOOM_WORKER_PROCESSES", 1)
LOOM_MAX_SESSIONS = env_int("LOOM_MAX_SESSIONS", 12)
# A session that waits for its model holds a thread: there must be more of them than of sessions.
LOOM_WORKER_THREADS = env_int("LOOM_WORKER_THREADS", LOOM_MAX_SESSIONS + 4)
LOOM_STOP_SECONDS = env_float("LOOM_STOP_SECONDS", 10.0)
LOOM_LEASE_SECONDS = env_float("LOOM_LEASE_SECONDS", 30.0)
LOOM_FIRST_START = "apps.accounts.services.admin_ensure"
LOOM_FURNISH = [  # what every start brings up to date
    "apps.agents.persona_services.personas_sync",
    "apps.providers.starting.environment_connect",
]

SECRET_KEY = secret_key()
ALLOWED_HOSTS = env_list("LOOM_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env_list("LOOM_TRUSTED_ORIGINS", [])

LOOM_PROXIES = env_int("LOOM_PROXIES", 0)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "guardian",
    "corsheaders",
    "csp",
    "channels",
    "django_rq",
    "django_celery_beat",
    "apps.core",
    "apps.events",
    "apps.engine",
    "apps.accounts",
    "apps.projects",
    "apps.commands",
    "apps.providers",
    "apps.beads",
    "apps.decisions",
    "apps.agents",
    "apps.workflows",
    "apps.motivations",
    "apps.analytics",
    "apps.configuration",
    "apps.pairing",
    "apps.activity",
    "apps.dashboard",
]

MIDDLEWARE = [
    "apps.core.middleware.RequestMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "apps.core.middleware.PolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "apps.core.middleware.AddressLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.accounts.middleware.OrganizationMiddleware",
    "apps.accounts.middleware.AuditMiddleware",
    "apps.core.middleware.ErrorMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "loom_site.urls"
ASGI_APPLICATION = "loom_site.asgi.application"
TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# IMMEDIATE: a transaction that reads and then writes never fails with "database is locked" half-way.
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,  # to open it; afterwards the backend waits by itself
    "init_command": f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout={BUSY_MS};",
}


def database_named() -> dict[str, Any]:
    # Asked before it is read, since what reads it would show the whole of it, its password too.
    if env_str("DATABASE_URL").partition("://")[0] not in {"postgres", "postgresql", "sqlite"}:
        raise ImproperlyConfigured("DATABASE_URL must begin with postgres:// or sqlite://.")
    try:
        config: dict[str, Any] = environ.Env().db_url("DATABASE_URL")
    except ValueError:
        hint = "is each of / ? # [ ] @ : in its password written as % and two digits?"
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read; {hint}") from None
    if config["NAME"] in {"", ":memory:"}:  # which no two processes share
        raise ImproperlyConfigured("DATABASE_URL names no database: postgres://user:password@host/name.")
    return config


def database() -> dict[str, Any]:
    if env_str("DATABASE_URL"):
        config = database_named()
    else:
        config = {"ENGINE": "", "NAME": str(LOOM_DATA_DIR / "loom.sqlite3")}
    if config["ENGINE"] in {"", "django.db.backends.sqlite3"}:
        config["ENGINE"] = "apps.core.sqlite3"
        config["OPTIONS"] = {**SQLITE_OPTIONS, **config.get("OPTIONS", {})}
        # A real file for tests too: threads and child processes must see the same database.
        config["TEST"] = {"NAME": str(LOOM_DATA_DIR / "test.sqlite3")}
    else:
        config["CONN_HEALTH_CHECKS"] = True
        # A process that is frozen in the middle of a transaction would hold its locks until it wakes.
        limit = f"-c idle_in_transaction_session_timeout={round(LOOM_LEASE_SECONDS * 500)}"
        config["OPTIONS"] = {"options": limit, **config.get("OPTIONS", {})}
    config["CONN_MAX_AGE"] = env_int("LOOM_DB_CONN_MAX_AGE", 600)
    return config


DATABASES = {"default": database()}
LOOM_DB_PREPARED = env_bool("LOOM_DB_PREPARED", True)  # plans are kept per connection
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "apps.accounts.backends.PasswordBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None  # guardian: no row for visitors
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOOM_LOGINS_PER_ACCOUNT = env_int("LOOM_LOGINS_PER_ACCOUNT", 10)
LOOM_LOGINS_PER_ADDRESS = env_int("LOOM_LOGINS_PER_ADDRESS", 50)
LOOM_LOGIN_SECONDS = env_int("LOOM_LOGIN_SECONDS", 300)
LOOM_TOKEN_SECONDS = env_int("LOOM_TOKEN_SECONDS", 900)
LOOM_REFRESH_SECONDS = env_int("LOOM_REFRESH_SECONDS", 14 * 24 * 3600)
SESSION_ENGINE = "apps.accounts.sessions"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATIC_ROOT = LOOM_DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# -- The browser's edge ----------------------------------------------------------------------------
LOOM_HTTPS = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env_bool("LOOM_HTTPS", False)
SECURE_HSTS_SECONDS = env_int("LOOM_HSTS_SECONDS", 365 * 24 * 3600) if LOOM_HTTPS else 0
if LOOM_PROXIES:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOWED_ORIGINS = [origin for origin in env_list("LOOM_CORS_ORIGINS", []) if origin != "*"]
CORS_ALLOW_ALL_ORIGINS = "*" in env_list("LOOM_CORS_ORIGINS", [])
CORS_ALLOW_CREDENTIALS = False  # tokens and keys may come from other sites, the browser's session may not
CORS_ALLOW_HEADERS = [
    "accept", "authorization", "content-type", "idempotency-key", "if-match", "if-none-match",
    "last-event-id", "x-api-key", "x-organization", "x-request-id",
]  # fmt: skip
CORS_EXPOSE_HEADERS = [
    "etag", "idempotency-replayed", "link", "location", "retry-after", "x-request-id", "x-total-count",
]  # fmt: skip
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    },
}
LOOM_RATE_PER_USER = env_int("LOOM_RATE_PER_USER", 1200)  # requests a minute; 0: no limit
LOOM_RATE_PER_KEY = env_int("LOOM_RATE_PER_KEY", 1200)
LOOM_RATE_PER_ADDRESS = env_int("LOOM_RATE_PER_ADDRESS", 3000)
LOOM_METRICS_TOKEN = env_str("LOOM_METRICS_TOKEN")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# -- Queues: Celery orchestrates, django-rq runs the short jobs people watch -----------------------
CELERY_BROKER_URL = celery_url(LOOM_DATA_DIR)
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600, "global_keyprefix": "celery:"}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_DB_REUSE_MAX = 10_000  # tasks; by default each would open a connection to the database of its own
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "loom"
# Rings are hints: to keep count of each costs a run more time than to be swept up when one is lost.
CELERY_TASK_QUEUES = [
    Queue("loom", Exchange("loom"), routing_key="loom"),
    Queue("rings", Exchange("rings"), routing_key="rings", no_ack=True),
]
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "apps.core.scheduling:Scheduler"
CELERY_BEAT_SCHEDULE = {
    "engine-sweep": {"task": "engine.sweep", "schedule": 1.0},
    "events-sweep": {"task": "events.sweep", "schedule": 5.0},
    "dispatch-sweep": {"task": "workflows.dispatch_sweep", "schedule": 5.0},
    "providers-sweep": {"task": "providers.sweep", "schedule": 60.0},
    "heartbeat": {"task": "workflows.heartbeat", "schedule": 20.0},
    "motivations-sweep": {"task": "motivations.sweep", "schedule": 15.0},
    "motivations-sense": {"task": "motivations.sense", "schedule": 60.0},
    "decisions-sweep": {"task": "decisions.sweep", "schedule": 30.0},
    "pulls-watch": {"task": "agents.pulls_watch", "schedule": 60.0},
    "worktrees-clean": {"task": "agents.worktrees_clean", "schedule": 3600.0},
    "accounts-trim": {"task": "accounts.trim", "schedule": 3600.0},
    "activity-sweep": {"task": "activity.sweep", "schedule": 10.0},
    "activity-trim": {"task": "activity.trim", "schedule": 600.0},
}
RQ_SHOW_ADMIN_LINK = False  # its pages are below /queues/, for those who may see every tenant's jobs
RQ_QUEUES = {"default": {"URL": broker_url(LOOM_DATA_DIR), "DEFAULT_TIMEOUT": 600}}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {"hosts": [broker_url(LOOM_DATA_DIR)], "prefix": "loom"},
    },
}

# -- Notifications and the log people read ----------------------------------------------------------
LOOM_URL = env_str("LOOM_URL").rstrip("/")
LOOM_WEBHOOK_PRIVATE = env_bool("LOOM_WEBHOOK_PRIVATE", False)
LOOM_EMAIL_URL = env_str("LOOM_EMAIL_URL")
LOOM_EMAIL_FROM = env_str("LOOM_EMAIL_FROM", "loom@localhost")
LOOM_LOG_KEPT = env_bool("LOOM_LOG_KEPT", True)
LOOM_LOG_DAYS = env_int("LOOM_LOG_DAYS", 14)
LOOM_LOG_ROWS = env_int("LOOM_LOG_ROWS", 200_000)
if LOOM_EMAIL_URL:
    vars().update(environ.Env.email_url_config(LOOM_EMAIL_URL))
EMAIL_TIMEOUT = 10

# -- Agents ----------------------------------------------------------------------------------------
LOOM_MAX_TURNS = env_int("LOOM_MAX_TURNS", 60)
LOOM_MAX_TOKENS = env_int("LOOM_MAX_TOKENS", 8192)
LOOM_MODEL_ATTEMPTS = env_int("LOOM_MODEL_ATTEMPTS", 6)
LOOM_MAX_HOPS = env_int("LOOM_MAX_HOPS", 20)
LOOM_PAIR_GRACE_SECONDS = env_float("LOOM_PAIR_GRACE_SECONDS", 10.0)
LOOM_PAIR_HOLD_MINUTES = env_float("LOOM_PAIR_HOLD_MINUTES", 60.0)
LOOM_REST_SECONDS = env_float("LOOM_REST_SECONDS", 5.0)
LOOM_LOCAL_REMOTES = env_bool("LOOM_LOCAL_REMOTES", False)
LOOM_MAX_REPOSITORY_MB = env_int("LOOM_MAX_REPOSITORY_MB", 2000)
LOOM_WORKTREE_HOURS = env_float("LOOM_WORKTREE_HOURS", 24.0)
LOOM_MOTIVATION_TRIGGERS = env_int("LOOM_MOTIVATION_TRIGGERS", 10)
LOOM_PERSONAS_DIR = Path(env_str("LOOM_PERSONAS_DIR") or BASE_DIR / "personas")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.authentication.HeaderAuthentication",
        "apps.accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["apps.accounts.permissions.ResourcePermission"],
    "DEFAULT_RENDERER_CLASSES": [
        "apps.core.http.JSONRenderer",
        "rest_framework.renderers.BrowsableAPIRenderer",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["apps.accounts.throttling.RateLimit"],
    "DEFAULT_PARSER_CLASSES": ["apps.core.http.ObjectParser"],
    "DEFAULT_SCHEMA_CLASS": "apps.core.api_schema.LoomSchema",
    "EXCEPTION_HANDLER": "apps.core.api.exception_handler",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Loom",
    "DESCRIPTION": "From a product requirements document to merged software.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "DEFAULT_GENERATOR_CLASS": "apps.core.api_schema.KeptGenerator",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    # Enums stay where they are: many of ours are called status or type.
    "POSTPROCESSING_HOOKS": ["apps.core.api_examples.examples_add"],
    "TAGS": [{"name": name, "description": text} for name, text in TAGS.items()],
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            "session": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
        }
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": "apps.core.masking.MaskingFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s",
        }
    },
    "filters": {
        "request": {"()": "apps.core.origin.RequestIdFilter"},
        "addresses": {"()": "apps.core.masking.AddressFilter"},
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["request"]},
        "kept": {"class": "apps.activity.logs.LogKeeper"},
    },
    "root": {"handlers": ["stderr", "kept"], "level": env_str("LOOM_LOG_LEVEL", "INFO")},
    "loggers": {
        **{name: {"filters": ["addresses"]} for name in ("django.request", "django.security.csrf")},
        # One line for every ring of every doorbell hides what matters.
        **{
            name: {"level": env_str("LOOM_QUEUE_LOG_LEVEL", "WARNING")}
            for name in ("celery.beat", "celery.app.trace", "celery.worker.strategy", "rq.worker", "httpx")
        },
    },
}
