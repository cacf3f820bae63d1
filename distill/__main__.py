"""python -m distill: the engine from files, without a database or a web server."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distill.errors import DistillError, PoolError, SettingsError
from distill.loop.folder import FolderUnusable
from distill.loop.inputs import BadInput, given_endpoint, preset_settings
from distill.loop.progress import Paused
from distill.presets import PRESETS

OK, FAILED, BAD_USE, STOPPED = 0, 1, 2, 130
DEFAULT_HOME = Path(__file__).resolve().parents[1] / "var"


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 failed on the way, 2 wrong input, 130 stopped."""
    options = _parser().parse_args(arguments)
    door: Callable[[argparse.Namespace], Any] = options.door
    try:
        print(json.dumps(door(options), indent=2, ensure_ascii=False))
        return OK
    except Paused as paused:
        return _end(paused, STOPPED)
    except KeyboardInterrupt:
        return _end("Stopped at once: calls under way are lost, all that came back is kept.", STOPPED)
    except (BadInput, SettingsError, PoolError, FolderUnusable) as error:
        return _end(f"Error: {error}", BAD_USE)
    except DistillError as error:
        return _end(f"Error: {error}", FAILED)
    except OSError as error:  # what the network does is a DistillError, so this is the disk
        where = f"{error.filename}: " if error.filename else ""
        why = error.strerror or error
        return _end(f"Error: {where}{why}. What is done is kept: free space or mend the folder, and run again.", FAILED)


def _end(line: object, code: int) -> int:
    _say(str(line))
    return code


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _run(options: argparse.Namespace) -> dict[str, Any]:
    from distill.loop.door import run_from_files  # only here: the other commands need not load the client

    gc.freeze()  # as the workers do, so that collecting garbage does not hold up the calls under way
    return run_from_files(options, _say)


def _check(options: argparse.Namespace) -> dict[str, Any]:
    from distill.endpoint_check import check_endpoint

    endpoint = given_endpoint(options)
    if endpoint is None:
        raise BadInput("There is no endpoint to check.", "Give --base-url, or set TEACHER_BASE_URL.")
    report = asyncio.run(check_endpoint(endpoint))
    return {
        "base_url": endpoint.base_url,
        "model": endpoint.model,
        "models": list(report.models),
        "supports_json_schema": report.supports_json_schema,
        "supports_logprobs": report.supports_logprobs,
        "latency_seconds": round(report.latency_seconds, 3),
        "paid_calls": sum(call.paid for call in report.calls),
    }


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    return preset_settings(options.preset).to_json()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m distill", description="Adversarial distillation from files.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="run iterations; in a folder with a begun run, go on with it"))
    check = commands.add_parser("check", help="try an endpoint with three small calls")
    check.set_defaults(door=_check)
    _add_endpoint(check)
    settings = commands.add_parser("settings", help="print every setting of a preset as JSON")
    settings.set_defaults(door=_settings)
    _add_preset(settings)
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    run.set_defaults(door=_run)
    run.add_argument("--pool", type=Path, required=True, help="instructions: .jsonl, .json or .csv")
    run.add_argument("--heldout", type=Path, help="held-out instructions; without it they are set aside from the pool")
    run.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the results go")
    _add_preset(run)
    run.add_argument("--settings", type=Path, help="JSON file; what it names replaces the preset's")
    run.add_argument("--iterations", type=_positive, help="how many in all (default: as the settings say)")
    run.add_argument("--seed", type=_natural, help="seeds every random choice (default: as the settings say)")
    run.add_argument("--keep-good", action="store_true", help="leave out bad lines of the pool files")
    run.add_argument("--threads", type=_natural, default=_threads(), help="for models on the CPU; 0: every core")
    home = os.environ.get("LIONWEB_HOME", "").strip() or str(DEFAULT_HOME)
    run.add_argument("--home", default=home, help="folder of the bundled models (default: %(default)s)")
    _add_endpoint(run)


def _add_preset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", default="bundled-demo", help=f"one of {', '.join(PRESETS)} (default: %(default)s)")


def _add_endpoint(parser: argparse.ArgumentParser) -> None:
    teacher = parser.add_argument_group("teacher", "an OpenAI-compatible endpoint; its key comes from TEACHER_API_KEY")
    teacher.add_argument("--base-url", default="", help="usually ends in /v1 (default: TEACHER_BASE_URL)")
    teacher.add_argument("--model", default="", help="(default: TEACHER_MODEL)")
    teacher.add_argument("--max-concurrency", type=_positive, default=64, help="calls at once (default: %(default)s)")
    for name in ("requests-per-minute", "tokens-per-minute"):
        teacher.add_argument(f"--{name}", type=_natural, default=0, help="the provider's limit; 0: none known")
    for name in ("input-usd-per-million", "output-usd-per-million"):
        teacher.add_argument(f"--{name}", type=float, default=0.0, help="price of tokens, for the bill")


def _natural(text: str) -> int:
    return _whole(text, 0)


def _positive(text: str) -> int:
    return _whole(text, 1)


def _whole(text: str, low: int) -> int:
    if not text.isdecimal() or int(text) < low:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least {low}")
    return int(text)


def _threads() -> int:
    text = os.environ.get("LIONWEB_THREADS", "").strip()
    return int(text) if text.isdecimal() else 0


if __name__ == "__main__":
    sys.exit(main())
