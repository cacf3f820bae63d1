from typing import Any

from django.db import transaction

from distill.errors import SettingsError
from distill.settings import ExperimentSettings
from lionweb.models import Endpoint, Experiment, Pool, PoolKind, User
from lionweb.services import audit
from lionweb.services.budget import checked_budget
from lionweb.services.errors import Refused


@transaction.atomic
def create_experiment(
    *,
    owner: User,
    name: str,
    endpoint: Endpoint,
    pool: Pool,
    heldout_pool: Pool | None,
    settings: ExperimentSettings,
    cloned_from: Experiment | None = None,
    budget_usd: float | None = None,
    second_endpoint: Endpoint | None = None,
) -> Experiment:
    """Freeze settings under a name.

    Raises:
        Refused: the name is empty, the budget is no amount, or the pools do not fit their use.
        SettingsError: the pool is too small for the sizes asked for, the endpoint lacks what the referee needs, or the second
            referee has no endpoint of its own.
    """
    if not name.strip():
        raise Refused("The experiment has no name.", "Give it one; it stands in every list.")
    _check_pools(pool, heldout_pool, settings)
    _check_features(endpoint, settings)
    _check_second(endpoint, second_endpoint, settings)
    experiment = Experiment.objects.create(
        name=name.strip(),
        owner=owner,
        endpoint=endpoint,
        pool=pool,
        heldout_pool=heldout_pool,
        settings_json=settings.to_json(),
        cloned_from=cloned_from,
        budget_usd=checked_budget(budget_usd),
        second_endpoint=second_endpoint,
    )
    limit: dict[str, Any] = {} if budget_usd is None else {"budget_usd": budget_usd}
    audit.record(actor=owner, action="experiment.create", target=experiment, name=experiment.name, **limit)
    return experiment


def _check_pools(pool: Pool, heldout_pool: Pool | None, settings: ExperimentSettings) -> None:
    if pool.kind != PoolKind.SEED or pool.rows == 0:
        raise Refused(f"{pool.name} holds no instructions to train on.", "Choose an imported instruction pool.")
    if heldout_pool is not None and heldout_pool.kind != PoolKind.HELDOUT:
        raise Refused(f"{heldout_pool.name} is not a held-out set.", "Choose one, or leave it empty to split the pool.")
    split = 0 if heldout_pool else settings.pools.heldout
    left = pool.rows - split
    if left < 1:
        raise SettingsError("pools.heldout", f"must leave instructions to train on; the pool holds {pool.rows}.")
    for field, size in (("pools.train", settings.pools.train), ("pools.cache", settings.pools.cache)):
        if size > left:
            raise SettingsError(field, f"is {size}, but only {left} instructions are left for it.")


def _check_features(endpoint: Endpoint, settings: ExperimentSettings) -> None:
    """Known only after a check; without one the first review tells."""
    if endpoint.is_imported:
        raise Refused(f"{endpoint.name} cannot be called.", "Choose an endpoint that answers.")
    if settings.referee.mode == "imported":
        raise SettingsError("referee.mode", "imported is for pairs that were judged elsewhere. Choose another one.")
    needs_schema = (
        settings.referee.mode in ("pairwise", "reference", "single") and settings.referee.structured_output == "on"
    )
    if needs_schema and endpoint.supports_json_schema is False:
        raise SettingsError("referee.structured_output", f"is on, but {endpoint.name} has none. Choose auto or off.")


def _check_second(endpoint: Endpoint, second: Endpoint | None, settings: ExperimentSettings) -> None:
    """A second referee must be another one: the same model would agree with itself."""
    if second is None and settings.referee.second_referee != "off":
        raise SettingsError("second_endpoint", "must be chosen where a second referee is asked, or turn it off.")
    if second is not None and second.author == endpoint.author:
        raise SettingsError("second_endpoint", "must be another model than the teacher's.")
