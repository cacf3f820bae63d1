"""The instructions that ship with LionWeb, as pools of the installation."""

from pathlib import Path

from distill import data
from lionweb.models import Pool, PoolKind
from lionweb.services.pools import import_pool

SAMPLE_POOL, SAMPLE_HELDOUT = "Sample pool", "Sample held-out set"


def ensure_sample_pools() -> tuple[Pool, Pool]:
    """The sample pool and its held-out set, imported once."""
    return (
        _ensure(SAMPLE_POOL, PoolKind.SEED, "sample_pool.jsonl"),
        _ensure(SAMPLE_HELDOUT, PoolKind.HELDOUT, "sample_heldout.jsonl"),
    )


def _ensure(name: str, kind: PoolKind, filename: str) -> Pool:
    found = Pool.objects.filter(name=name).first()
    if found:
        return found
    with (Path(data.__file__).parent / filename).open("rb") as stream:
        return import_pool(stream=stream, filename=filename, name=name, kind=kind, actor=None, keep_good=False)
