"""The one JSON object that every benchmark prints."""

from __future__ import annotations

import json
from typing import Any


def report(
    name: str, *, ours: float, peer: float, ratio: float, target: float, holds: bool, unit: str, n: int, **extra: Any
) -> dict[str, Any]:
    """Figures of one question. `ratio` says how many times better ours is than the peer, measured in the same run."""
    figures = {"ours": ours, "peer": peer, "ratio": ratio, "target": target}
    rounded = {key: round(value, 4) for key, value in figures.items()}
    return {"name": name, **rounded, "holds": holds, "unit": unit, "n": n, **extra}


def show(result: dict[str, Any]) -> None:
    print(json.dumps(result), flush=True)
