"""Model inference in a process of its own: python -m distill.inference, JSON lines in, JSON lines out.

In: a header {"op", "base", "adapter", "home", "settings", "template", "system_prompt", "seed", "threads"}, then one item
a line; a blank line ends a batch. Out: {"ready": true} once the model is loaded, one result a line as soon as it is known,
{"done": n} after a batch, or {"error": {"code", "cause", "advice"}}. Logs go to stderr.

op "answer": items {"key", "text", "input"}, results {"key", "text", "finish", "completion_tokens", "prompt_tokens"}.
op "likelihood": items {"key", "text", "input", "teacher_response", "student_response"}, results are reviews; the base
    "bundled" means the bundled teacher here, everywhere else the bundled student.
op "score": items {"key", "text", "input", "response"}, results {"key", "logprob"}: mean per token, null if empty.

Standard input that closes in the middle of a batch ends the batch; between or after batches it ends the process at
once, even while it computes: whoever asked is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from distill.errors import DistillError, ModelLoadError, OutOfMemory
from distill.records import Instruction, Pair
from distill.settings import StudentSettings

if TYPE_CHECKING:
    from distill.weights import LoadedModel

_END = None  # in the queue of lines: standard input is closed
_SCORED_AT_ONCE = 64

Item = dict[str, Any]
Operation = Callable[[Iterator[Item]], Iterator[Item]]


class Input:
    """Lines of standard input, read in a thread, so that its closing is noticed while the model computes."""

    def __init__(self, stream: TextIO) -> None:
        self.lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.closed = False
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def header(self) -> dict[str, Any]:
        line = self.lines.get()
        return _parsed(line) if line else {}

    def batch(self) -> Iterator[Item]:
        while (line := self.lines.get()) is not _END and line.strip():
            yield _parsed(line)
        self.closed = line is _END

    def _read(self, stream: TextIO) -> None:
        blank = False
        for line in stream:
            blank = not line.strip()
            self.lines.put(line)
        if blank:
            os._exit(0)
        self.lines.put(_END)


def main() -> int:
    out = _private_stdout()
    lines = Input(sys.stdin)
    _share_the_machine()
    try:
        header = lines.header()
        answer = _operation(header)
        _write(out, {"ready": True})
        while not lines.closed:
            count = 0
            for count, result in enumerate(answer(lines.batch()), start=1):  # noqa: B007 - counted after the loop
                _write(out, result)
            _write(out, {"done": count})
    except BrokenPipeError:
        return 0  # nobody reads any more
    except DistillError as error:
        _write(out, {"error": error.as_dict()})
        return 1
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        advice = "Lower the student's batch size or token limit, or choose a smaller model."
        _write(out, {"error": OutOfMemory("The model ran out of memory.", advice).as_dict()})
        return 1
    return 0


def _operation(header: dict[str, Any]) -> Operation:
    operations = {"answer": _answers, "likelihood": _reviews, "score": _scores}
    if header.get("op") not in operations:
        raise DistillError(f"The header's op must be one of {', '.join(operations)}, not {header.get('op')!r}.")
    StudentSettings(**header.get("settings", {}))  # a wrong setting is told before a model is loaded
    return operations[header["op"]](_load(header), header)


def _load(header: dict[str, Any]) -> LoadedModel:
    import torch  # after the reader has started: a parent that dies meanwhile is noticed
    import transformers

    from distill.weights import load_model

    transformers.utils.logging.disable_progress_bar()
    if header.get("threads"):
        torch.set_num_threads(int(header["threads"]))
    if not header.get("base") or not header.get("home"):
        raise ModelLoadError("The header names no base model or no home folder.")
    base, adapter = str(header["base"]), Path(header["adapter"]) if header.get("adapter") else None
    if base == "bundled" and header["op"] == "likelihood":
        base = "bundled-teacher"
    return load_model(base, adapter, home=Path(header["home"]))


def _answers(loaded: LoadedModel, header: dict[str, Any]) -> Operation:
    from distill.student import StudentEngine

    settings = StudentSettings(**header.get("settings", {}))
    engine = StudentEngine(
        loaded, settings, system_prompt=header.get("system_prompt", ""), seed=int(header.get("seed", 0))
    )
    return lambda items: map(asdict, engine.answer((item["key"], _instruction(item)) for item in items))


def _reviews(loaded: LoadedModel, header: dict[str, Any]) -> Operation:
    referee = _referee(loaded, header)

    def pair(item: Item) -> Pair:
        return Pair(item["key"], _instruction(item), item["teacher_response"], item["student_response"])

    return lambda items: map(asdict, referee.review(map(pair, items)))


def _scores(loaded: LoadedModel, header: dict[str, Any]) -> Operation:
    referee = _referee(loaded, header)

    def score(items: Iterator[Item]) -> Iterator[Item]:
        while batch := list(islice(items, _SCORED_AT_ONCE)):
            logprobs = referee.logprobs([(_instruction(item), item["response"]) for item in batch])
            yield from ({"key": item["key"], "logprob": value} for item, value in zip(batch, logprobs, strict=True))

    return score


def _referee(loaded: LoadedModel, header: dict[str, Any]) -> Any:
    from distill.likelihood import LikelihoodReferee

    template = header.get("template") or header.get("settings", {}).get("template", "auto")
    return LikelihoodReferee(loaded, template=template, system_prompt=header.get("system_prompt", ""))


def _instruction(item: Item) -> Instruction:
    return Instruction(item["text"], item.get("input", ""))


def _parsed(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DistillError(f"A line of standard input is not JSON: {error}.") from error
    if not isinstance(row, dict):
        raise DistillError("A line of standard input is not a JSON object.")
    return row


def _private_stdout() -> TextIO:
    """Results go to the real standard output; whatever else is printed, also by native code, goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def _write(out: TextIO, row: dict[str, Any]) -> None:
    out.write(json.dumps(row) + "\n")
    out.flush()


def _share_the_machine() -> None:
    """Call before torch is imported.

    Threads that wait should sleep: spinning on cores that other processes want was seen to cost a factor of seven.
    When memory runs out, this process should go, not the database or the worker.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error) or "can't allocate memory" in str(error)


if __name__ == "__main__":
    sys.exit(main())
