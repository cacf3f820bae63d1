"""Accessibility of a page by axe-core, which `npm install` in this folder brings. Without it the test is skipped."""

from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"


@cache
def _source():
    return SOURCE.read_text(encoding="utf-8")


def violations(page):
    """What axe-core finds wrong on the page as it is now, a line for each element; [] is good."""
    if not SOURCE.exists():
        pytest.skip("axe-core is not installed: run `npm install --no-package-lock` in tests/browser")
    page.evaluate(_source())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {' '.join(map(str, node['target']))}: {node['html'][:200]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
