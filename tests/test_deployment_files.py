"""No Docker engine is needed: what the files name must be there, and what they set must be read."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from django.core.management import get_commands

from lionweb.local import programs

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OWN = {name: service for name, service in SERVICES.items() if service.get("image") == "lionweb"}
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
ONE_SHOT = {"migrate"}
# Read by the images, Django or the healthchecks, not by our settings.
READ_ELSEWHERE = {
    "DJANGO_SETTINGS_MODULE",
    "WORKER_NAME",
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
    "PIP_NO_CACHE_DIR",
}


def variables_read():
    """Names that the settings, the local stack and the entry script look up in the environment."""
    found = set(re.findall(r"environment\.\w+\(\s*\"([A-Z_]+)\"", (ROOT / "lionweb/settings.py").read_text()))
    found |= set(re.findall(r"text\(\"([A-Z_]+)\"", (ROOT / "lionweb/environment.py").read_text()))
    for path in (ROOT / "lionweb/local").glob("*.py"):
        found |= set(re.findall(r"\"(LIONWEB_[A-Z_]+)\"", path.read_text()))
    return found | set(re.findall(r"\$\{(LIONWEB_PYTHON)", (ROOT / "lion").read_text()))


def variables_interpolated():
    text = (ROOT / "docker-compose.yml").read_text()
    return set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))


def example():
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def manage_commands(service):
    """The management commands in a container's command line."""
    words = service.get("command", [])
    return [words[i + 1] for i, word in enumerate(words) if word == "manage.py"]


def test_the_example_names_every_setting_and_nothing_else():
    assert set(example()) == variables_read() | variables_interpolated()


def test_the_example_holds_no_secret():
    secrets = [name for name in example() if re.search("KEY|PASSWORD|_URL", name)]

    assert secrets
    assert all(example()[name] == "" for name in secrets)


def test_the_stack_has_the_parts_of_one_machine():
    workers = {worker.name for worker in programs.WORKERS}

    assert set(SERVICES) == {"postgres", "valkey", "migrate", "web", "beat"} | workers


@pytest.mark.parametrize("name", OWN)
def test_what_a_container_is_given_is_read(name):
    assert set(OWN[name]["environment"]) <= variables_read() | READ_ELSEWHERE
    assert {"SECRET_KEY", "DATABASE_URL", "BROKER_URL"} <= set(OWN[name]["environment"])


@pytest.mark.parametrize("name", OWN)
def test_what_a_container_runs_exists(name):
    words = OWN[name].get("command", [])

    assert set(manage_commands(OWN[name])) <= set(get_commands())
    for flag in ("-m", "-A"):
        modules = [words[i + 1] for i, word in enumerate(words) if word == flag]
        assert all(find_spec(module) for module in modules)


@pytest.mark.parametrize("worker", programs.WORKERS, ids=lambda worker: worker.name)
def test_each_queue_has_a_container_that_checks_its_own_worker(worker):
    service = SERVICES[worker.name]
    words = service["command"]

    assert words[words.index("--queues") + 1] == worker.queues
    assert words[words.index("--name") + 1] == service["environment"]["WORKER_NAME"] == worker.name


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_what_keeps_running_is_checked_and_restarted(name):
    assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_container_waits_for_is_there(name):
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
        assert needed in SERVICES
        assert how == {"condition": expected}


def test_only_the_pages_are_published():
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["web"]


def test_only_the_gpu_worker_asks_for_a_gpu():
    asking = {name: service["deploy"] for name, service in SERVICES.items() if "deploy" in service}

    assert set(asking) == {"worker-gpu"}
    device = asking["worker-gpu"]["resources"]["reservations"]["devices"][0]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


def test_data_outlives_its_containers():
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}

    assert used == set(COMPOSE["volumes"])
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_no_secret_stands_in_the_files():
    assert "env_file" in SERVICES["web"]
    assert SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"] == "${POSTGRES_PASSWORD}"
    assert OWN["web"]["environment"]["SECRET_KEY"].startswith("${SECRET_KEY:?")


def test_the_image_copies_what_exists_and_all_that_is_needed():
    copied = {source for line in DOCKERFILE if line.startswith("COPY ") for source in line.split()[1:-1]}

    assert all((ROOT / source).exists() for source in copied)
    assert {"manage.py", "distill", "lionweb", "worker", "templates", "static"} <= copied
    assert {"requirements.txt", "requirements-models.txt"} <= copied


def test_the_image_does_not_run_as_root():
    users = [line.split()[1] for line in DOCKERFILE if line.startswith("USER ")]

    assert users[-1] == "lionweb"


def test_the_image_serves_the_pages_by_itself():
    command = next(line for line in DOCKERFILE if line.startswith("CMD "))

    assert "lionweb.wsgi:application" in command
    assert find_spec("gunicorn")


def test_the_image_sets_only_what_is_read():
    line = next(line for line in DOCKERFILE if line.startswith("ENV "))

    assert set(re.findall(r"([A-Z_]+)=", line)) <= variables_read() | READ_ELSEWHERE
