"""Django settings. Everything comes from the environment; the defaults are one laptop."""

from pathlib import Path

import dj_database_url
from csp.constants import NONE, SELF

from lionweb import environment, vendored
from lionweb.local import home as local

BASE_DIR = Path(__file__).resolve().parent.parent
LIONWEB_HOME = local.home()

SECRET_KEY = environment.secret_key(LIONWEB_HOME)
DEBUG = environment.flag("DEBUG")
ALLOWED_HOSTS = environment.names("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = environment.names("CSRF_TRUSTED_ORIGINS")
HTTPS = environment.flag("HTTPS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0

INSTALLED_APPS = [
    "lionweb",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "django_htmx",
    "js_lib_bootstrap5",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "lionweb.temporary_password.TemporaryPasswordMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "lionweb.urls"
WSGI_APPLICATION = "lionweb.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "loaders": [
                ("django.template.loaders.cached.Loader", ["django.template.loaders.filesystem.Loader"]),
            ]
            if not DEBUG
            else ["django.template.loaders.filesystem.Loader"],
        },
    }
]

DATABASES = {
    "default": dj_database_url.parse(
        environment.text("DATABASE_URL", local.postgres_url(LIONWEB_HOME)),
        conn_max_age=300,
        conn_health_checks=True,
    )
}

AUTH_USER_MODEL = "lionweb.User"
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "experiments"
LOGOUT_REDIRECT_URL = "sign-in"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en"
TIME_ZONE = environment.text("TIME_ZONE", "UTC")
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = LIONWEB_HOME / "static"
STATICFILES_DIRS = [BASE_DIR / "static", ("plotly", vendored.plotly_folder())]
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": environment.text("ARTIFACTS_DIR", str(LIONWEB_HOME / "artifacts"))},
    },
    "staticfiles": {"BACKEND": "lionweb.static_files.Storage"},
}
ARTIFACTS_DIR = Path(environment.text("ARTIFACTS_DIR", str(LIONWEB_HOME / "artifacts")))

DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 2**20
UPLOAD_MAX_BYTES = environment.whole_number("UPLOAD_MAX_BYTES", 2 * 2**30)
INSTRUCTION_MAX_CHARACTERS = environment.whole_number("INSTRUCTION_MAX_CHARACTERS", 20_000, low=100)
# How long an item of the review queue stays with a person who gives no sign of life.
REVIEW_LOCK_SECONDS = environment.whole_number("REVIEW_LOCK_SECONDS", 600, low=10)

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "style-src": [SELF],
        "style-src-attr": ["'unsafe-inline'"],
        "style-src-elem": [SELF, "'unsafe-inline'"],  # plotly.js writes its own style element
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "object-src": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"

BROKER_URL = environment.text("BROKER_URL", local.broker_url(LIONWEB_HOME))

# The teacher that stands in the list of endpoints without anyone entering it.
TEACHER_BASE_URL = environment.text("TEACHER_BASE_URL")
TEACHER_API_KEY = environment.text("TEACHER_API_KEY")
TEACHER_MODEL = environment.text("TEACHER_MODEL")
TEACHER_MAX_CONCURRENCY = environment.whole_number("TEACHER_MAX_CONCURRENCY", 64, low=1)
TEACHER_REQUESTS_PER_MINUTE = environment.whole_number("TEACHER_REQUESTS_PER_MINUTE", 0)
TEACHER_TOKENS_PER_MINUTE = environment.whole_number("TEACHER_TOKENS_PER_MINUTE", 0)
TEACHER_INPUT_USD_PER_MILLION = environment.number("TEACHER_INPUT_USD_PER_MILLION", 0.0)
TEACHER_OUTPUT_USD_PER_MILLION = environment.number("TEACHER_OUTPUT_USD_PER_MILLION", 0.0)

# Threads that torch may use; 0: all cores.
LIONWEB_THREADS = environment.whole_number("LIONWEB_THREADS", 0)
HEARTBEAT_SECONDS = environment.number("HEARTBEAT_SECONDS", 2.0)
LEASE_SECONDS = environment.number("LEASE_SECONDS", 15.0)  # a worker silent for so long is lost
SWEEP_SECONDS = environment.number("SWEEP_SECONDS", 3.0)
CHUNK_ROWS = environment.whole_number("CHUNK_ROWS", 2000, low=1)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": environment.text("LOG_LEVEL", "INFO")},
    "loggers": {"httpx": {"level": "WARNING"}, "httpx2": {"level": "WARNING"}, "openai": {"level": "WARNING"}},
}
