"""The colours of both themes meet WCAG AA: 4.5 to 1 for text, 3 to 1 for borders that carry meaning."""

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).resolve().parents[2] / "static" / "css" / "lionweb.css").read_text(encoding="utf-8")
TEXTS = ("text", "muted", "accent", "running", "waiting", "paused", "ok", "failed", "idle")
GROUNDS = ("bg", "surface", "sunken", "hover")


def theme(selector):
    block = CSS[CSS.index(selector) :].split("}", 1)[0]
    found = dict(re.findall(r"--lw-([a-z-]+): (#[0-9a-f]{6}|\d+%);", block))
    tint = int(found.pop("tint").rstrip("%")) / 100
    return {name: [int(value[at : at + 2], 16) for at in (1, 3, 5)] for name, value in found.items()}, tint


THEMES = {"light": theme(":root,"), "dark": theme('[data-bs-theme="dark"] {')}


def luminance(colour):
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("ground", GROUNDS)
def test_text_can_be_read_on_every_ground(name, text, ground):
    colours, _ = THEMES[name]
    assert contrast(colours[text], colours[ground]) >= 4.5


@pytest.mark.parametrize("name", THEMES)
@pytest.mark.parametrize("status", ("running", "waiting", "paused", "ok", "failed", "idle"))
def test_the_word_of_a_status_can_be_read_on_its_own_tint(name, status):
    colours, tint = THEMES[name]
    ground = [tint * own + (1 - tint) * under for own, under in zip(colours[status], colours["surface"], strict=True)]
    assert contrast(colours[status], ground) >= 4.5


@pytest.mark.parametrize("name", THEMES)
def test_edges_of_inputs_and_the_text_of_buttons_stand_out(name):
    colours, _ = THEMES[name]
    assert contrast(colours["edge"], colours["surface"]) >= 3
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5
