"""Drives Chromium against a live server. Where there is no browser, every test here is skipped and says so.

With LIONWEB_SCREENSHOTS=1 the pictures go to docs/screenshots/, otherwise to the test's own folder.
"""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from distill.settings import GateSettings
from lionweb.models import Approval, Membership, StageKind, StageStatus
from tests import factories as make

# Playwright's synchronous API runs an event loop in this thread; the database is only used between its calls.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

SCREENSHOTS = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
SIZES = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 400, "height": 860}}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="package")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    binary = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if binary is None:
        pytest.skip("no Chromium on this machine: install the package chromium to run the browser tests")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=binary, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser, live_server):
    """A page of a fresh profile, not signed in. Any script error or blocked resource fails the test."""
    context = browser.new_context(base_url=live_server.url, viewport=SIZES["wide"], color_scheme="light")
    opened = context.new_page()
    complaints = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    opened.complaints = complaints
    yield opened
    context.close()
    assert not complaints, complaints


@pytest.fixture
def sign_in(page, live_server, client):
    """Signs a user in without the form."""

    def do(user):
        client.force_login(user)
        cookie = client.cookies["sessionid"].value
        page.context.add_cookies([{"name": "sessionid", "value": cookie, "url": live_server.url}])
        return page

    return do


@pytest.fixture
def shoot(tmp_path):
    """Takes a page in both themes and both widths, and checks that nothing sticks out to the side."""

    def take(page, name):
        folder = SCREENSHOTS if os.environ.get("LIONWEB_SCREENSHOTS") == "1" else tmp_path
        folder.mkdir(parents=True, exist_ok=True)
        for size, viewport in SIZES.items():
            page.set_viewport_size(viewport)
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme=theme, reduced_motion="reduce")
                page.wait_for_timeout(350)  # charts draw themselves again
                page.screenshot(path=folder / f"{name}-{size}-{theme}.png", full_page=True)
            too_wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert too_wide <= 0, f"{name} is {too_wide} px too wide at {viewport['width']} px"
        page.set_viewport_size(SIZES["wide"])
        page.emulate_media(color_scheme="light")

    return take


@pytest.fixture
def experiment(alice):
    """One iteration that waits at both gates."""
    settings = replace(make.SMALL, gates=GateSettings(review="sample", approval="sample"))
    made = make.make_experiment(alice, pool=make.make_pool(rows=60), settings=settings)
    iteration = make.finish_iteration(made)
    iteration.stages.filter(kind__in=(StageKind.REVIEW, StageKind.APPROVE)).update(status=StageStatus.WAITING)
    Membership.objects.filter(experiment=made, since=2).update(approval=Approval.PENDING)
    return made
