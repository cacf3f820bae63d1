"""Plays the worker without any model: deterministic answers, scores and new instructions, stored by the real parts.

Checked against the real engine by tests/integration, which runs the same loop with the mock server and a tiny model.
"""

import hashlib
import json

from distill.errors import CallFailed
from distill.records import Call, CallOutcome, Completion, Finish, Purpose
from lionweb.models import Stage, StageStatus
from lionweb.services import leases
from lionweb.services.advance import advance
from lionweb.stages.part import CallPart, InferencePart, PlainPart, TrainingPart
from lionweb.stages.registry import parts_of

WORDS = [
    "amber",
    "brook",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heath",
    "inlet",
    "jetty",
    "knoll",
    "larch",
    "marsh",
    "north",
    "ocean",
    "pearl",
    "quill",
    "reed",
]


def number_of(text, modulus):
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % modulus


def words_of(text, count=12):
    return " ".join(WORDS[number_of(f"{text}/{at}", len(WORDS))] for at in range(count))


def reply_to(request, *, scores=None):
    prompt = request.messages[-1]["content"]
    match request.purpose:
        case Purpose.REVIEW:
            if "[The Start of the Assistant's Answer]" in prompt:
                return f"Score of the Assistant: {1 + number_of(prompt, 10)}"
            first, second = scores or (1 + number_of(prompt, 10), 1 + number_of(prompt + "2", 10))
            return f"Score of the Assistant 1: {first}\nScore of the Assistant 2: {second}"
        case Purpose.GENERATE:
            return f"Describe {words_of(prompt)}."
        case _:
            return f"About {words_of(prompt)}."


def outcome_of(request, text, *, finish=Finish.STOP):
    call = Call("ok", 0.3, True, 20, 10, 0.001)
    return CallOutcome(request.key, Completion(text, finish, 20, 10, 0.001), None, (call,))


def failed_outcome(request):
    call = Call("server_error", 0.1, False)
    return CallOutcome(request.key, None, CallFailed("The server gave up.", "Try later."), (call,))


class FakeEngine:
    """reply: from a ChatRequest to a CallOutcome; gives every text and score of the teacher."""

    def __init__(self, reply=None):
        self.reply = reply or (lambda request: outcome_of(request, reply_to(request)))
        self.requests = []

    def run(self, part, *, limit=10_000):
        lease = leases.take(stage=part.stage, part=part.name)
        match part:
            case CallPart():
                while requests := part.claim(lease, limit):
                    self.requests += requests
                    part.store([self.reply(request) for request in requests])
            case InferencePart():
                while items := part.claim_items(lease, limit):
                    part.store_rows([self.infer(part, item) for item in items])
            case TrainingPart():
                self.train(part)
            case PlainPart():
                part.work()
        leases.release(lease=lease)

    def infer(self, part, item):
        if part.name == "likelihood":
            score = 1 + number_of(item["student_response"], 9000) / 1000
            return {
                "key": item["key"],
                "order": "none",
                "raw": json.dumps(score),
                "explanation": "",
                "score_teacher": 9.0,
                "score_student": score,
            }
        return {
            "key": item["key"],
            "text": f"Student {part.name} says {words_of(item['text'], 5)}",
            "finish": "stop",
            "prompt_tokens": 12,
            "completion_tokens": 7,
        }

    def train(self, part):
        with open(part.job().train_file, encoding="utf-8") as lines:
            self.trained_on = examples = [json.loads(line) for line in lines]
        steps = {"examples": len(examples), "steps": 2, "precision": "fp32", "trainable_parameters": 10}
        part.on_event({"event": "start", **steps, "skipped": {}, "resumed_from_step": 0})
        part.on_event({"event": "heldout", "when": "before", "loss": 3.0, "tokens": 50})
        part.on_event({"event": "metric", "step": 1, "name": "loss", "value": 2.5})
        part.on_event({"event": "progress", "step": 2, "steps": 2})
        part.on_event({"event": "heldout", "when": "after", "loss": 1.5, "tokens": 50})
        part.on_event({"event": "done", "checkpoint": "x", "sha256": "ab" * 32, "manifest": {}})


def drive(experiment, *, engine=None, stop_at=None, most_steps=300):
    """Run whatever the experiment's running stage waits for, until nothing runs or the stage `stop_at` begins.

    Returns the stage at which it stopped, or None once nothing is open.
    """
    engine = engine or FakeEngine()
    for _ in range(most_steps):
        last = experiment.iterations.order_by("-number").first()
        advance(last.pk)
        last = experiment.iterations.order_by("-number").first()
        stage = last.stages.exclude(status=StageStatus.SUCCEEDED).order_by("position").first()
        if stage is None:
            if last.number >= type(experiment).objects.get(pk=experiment.pk).planned_iterations:
                return None
            continue
        if stage.status == StageStatus.PENDING:
            continue
        if stage.status != StageStatus.RUNNING or stage.kind == stop_at:
            return stage
        part = next((p for p in parts_of(Stage.objects.get(pk=stage.pk)) if p.open_rows()), None)
        if part is not None:
            engine.run(part)
    raise AssertionError(f"The experiment did not come to an end; it stands at {stage}")
