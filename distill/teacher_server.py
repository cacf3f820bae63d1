"""The teacher for machines without a key: bundled weights behind an OpenAI-compatible server on this machine.

python -m distill.teacher_server --state-file teacher.json [--port 0] [--threads 2] [--parallel 16] [--parent-pid PID]

Writes {"port", "base_url", "pid", "model"} to the state file once it answers, and takes the file away when it ends.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import psutil
import xllamacpp

from distill.bundled import bundled_teacher_gguf
from distill.errors import DistillError, ModelLoadError

MODEL_NAME = "SmolLM2-135M-Instruct"
TOKENS_PER_SLOT = 1536
_POLL_SECONDS = 0.5
_START_SECONDS = 120


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    state: Path = options.state_file
    state.unlink(missing_ok=True)
    parent = _Parent(options.parent_pid) if options.parent_pid else None
    signal.signal(signal.SIGTERM, lambda number, frame: _leave(state, number, frame))
    signal.signal(signal.SIGINT, lambda number, frame: _leave(state, number, frame))
    try:
        server = start(options.gguf or bundled_teacher_gguf(), options.host, options.port, options)
    except DistillError as error:
        print(f"teacher_server: {error}", file=sys.stderr)
        return 1
    _announce(state, server.listening_address)
    while parent is None or parent.lives():
        time.sleep(_POLL_SECONDS)
    return _leave(state)


def start(gguf: Path, host: str, port: int, options: argparse.Namespace) -> xllamacpp.Server:
    """Load the weights and serve them; returns once the server answers. ModelLoadError: port taken, weights unreadable."""
    _check_port(host, port)
    try:
        server = xllamacpp.Server(_parameters(gguf, host, port, options.threads, options.parallel))
    except (RuntimeError, OSError, ValueError) as error:
        raise ModelLoadError(
            f"{gguf.name} could not be served: {error}.", "Check the file and the free memory."
        ) from error
    _wait_until_it_answers(server.listening_address)
    return server


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m distill.teacher_server", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--parallel", type=int, default=16, help="requests answered at once")
    parser.add_argument("--state-file", type=Path, required=True)
    parser.add_argument("--parent-pid", type=int, default=0, help="end when this process has ended")
    parser.add_argument("--gguf", type=Path, help="weights to serve instead of the bundled ones")
    return parser.parse_args(arguments)


def _parameters(gguf: Path, host: str, port: int, threads: int, parallel: int) -> xllamacpp.CommonParams:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(gguf)
    parameters.model_alias = {MODEL_NAME} if gguf.name.startswith(MODEL_NAME) else {gguf.stem}
    parameters.hostnames, parameters.port = [host], port
    parameters.n_parallel, parameters.n_ctx = parallel, parallel * TOKENS_PER_SLOT
    parameters.n_threads_http = parallel + 4  # a waiting request holds a thread; health checks must get through
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.cache_ram_mib = 0  # else old prompts pile up to 8 GB of memory
    parameters.fit_params = parameters.ui = parameters.endpoint_slots = False
    parameters.verbosity = 1
    return parameters


def _check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ModelLoadError(
                f"The teacher server cannot listen on {host}:{port}: {error.strerror}.", "Choose another port, or 0."
            ) from error


def _wait_until_it_answers(address: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)  # 503 while the weights load
    raise ModelLoadError(f"The teacher server did not answer within {_START_SECONDS} s.", "Free memory and try again.")


def _announce(state: Path, address: str) -> None:
    with urllib.request.urlopen(f"{address}/v1/models", timeout=30) as reply:
        model = json.load(reply)["data"][0]["id"]
    port = int(address.rpartition(":")[2])
    draft = state.with_name(f".{state.name}.{os.getpid()}")
    draft.write_text(json.dumps({"port": port, "base_url": f"{address}/v1", "pid": os.getpid(), "model": model}))
    draft.replace(state)


class _Parent:
    """The process that asked for this server; a later process with its number is not taken for it."""

    def __init__(self, pid: int) -> None:
        self.process = psutil.Process(pid) if psutil.pid_exists(pid) else None

    def lives(self) -> bool:
        try:
            running = self.process is not None and self.process.is_running()
            return running and self.process is not None and self.process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def _leave(state: Path, number: int = 0, frame: FrameType | None = None) -> int:
    """End at once: waiting for requests in flight would keep the machine's stop command waiting."""
    state.unlink(missing_ok=True)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
