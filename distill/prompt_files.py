"""The prompt templates of distill/prompts, one text file each, with $names for what is filled in."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from string import Template
from typing import Any

_FOLDER = Path(__file__).parent / "prompts"


@cache
def text(name: str) -> str:
    return (_FOLDER / f"{name}.txt").read_text(encoding="utf-8").strip()


@cache
def data(name: str) -> Any:
    return json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def fill(name: str, **values: str) -> str:
    """The template with every $name replaced once: what is filled in is never read as a template itself."""
    return Template(text(name)).substitute(values)


def version(*names: str) -> str:
    """8 hex digits that change whenever the wording of one of the templates does."""
    return version_of(*map(text, names))


def version_of(*texts: str) -> str:
    return hashlib.sha256("\x1f".join(texts).encode()).hexdigest()[:8]


def layout(referee: str, *, structured: bool, attempt: int) -> str:
    """How a referee is to write its reply; after the first attempt it is told more firmly."""
    form = "json" if structured else "text"
    return fill(f"{referee}_reask_{form}", number=str(attempt + 1)) if attempt else text(f"{referee}_format_{form}")
