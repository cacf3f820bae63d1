"""A worker in a thread: rings of the queue are answered by the real worker code; its student is played, or real."""

import queue
import threading

from django.db import connections

from tests.fake_engine import FakeEngine
from worker import run as run_module


class LiveWorker:
    """Works off the rings one by one until the block ends. `rung` counts them by part."""

    def __init__(self):
        self._rings = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.rung = []

    def ring(self, task, args, queue):
        self.rung.append(args[1])
        self._rings.put(args)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._rings.put(None)
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _work(self):
        try:
            while (args := self._rings.get()) is not None:
                run_module.run_part(*args)
        finally:
            connections.close_all()


def play_the_student(monkeypatch):
    """No model is loaded: training and the student's answers come from the fake engine, calls stay real."""
    engine = FakeEngine()

    def infer(part, lease):
        while items := part.claim_items(lease, 100):
            part.store_rows([engine.infer(part, item) for item in items])

    monkeypatch.setattr(run_module, "_infer", infer)
    monkeypatch.setattr(run_module, "_train", lambda part, lease: engine.train(part))
