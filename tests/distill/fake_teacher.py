"""A teacher, referee and generator in a thread: an OpenAI-compatible server whose replies follow from the prompts."""

import asyncio
import hashlib
import re
import threading
from contextlib import contextmanager

from tests.mock_server import completion, fake_openai

WORDS = [
    "amber", "brook", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll", "larch",
    "marsh", "north", "ocean", "pearl", "quill", "reed", "shore", "tundra", "umbra", "vale", "willow", "yarrow",
]  # fmt: skip


def number_of(text, modulus):
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % modulus


def words_of(text, count=12):
    return " ".join(WORDS[number_of(f"{text}/{at}", len(WORDS))] for at in range(count))


def purpose_of(body):
    prompt = body["messages"][-1]["content"]
    if "Assistant 2" in prompt or "[The Start of the Assistant's Answer]" in prompt:
        return "review"
    return "generate" if re.search(r"variation \d", prompt, re.I) else "answer"  # as all generator prompts say


def reply_to(body):
    prompt = body["messages"][-1]["content"]
    match purpose_of(body):
        case "review":
            if "Assistant 2" not in prompt:
                return f"Score of the Assistant: {1 + number_of(prompt, 10)}"
            scores = 1 + number_of(prompt, 10), 1 + number_of(prompt + "2", 10)
            return f"Score of the Assistant 1: {scores[0]}\nScore of the Assistant 2: {scores[1]}"
        case "generate":
            return f"Describe {words_of(prompt)}."
        case _:
            return f"About {words_of(prompt, 6)}."


class FakeTeacher:
    """`reply` is called in the server's thread with the request's body; returns a text or an aiohttp response."""

    def __init__(self, reply=reply_to):
        self.reply = reply
        self.base_url = ""
        self.bodies = []

    def asked(self, purpose=None):
        return [body for body in self.bodies if purpose in (None, purpose_of(body))]

    async def handle(self, request, body):
        self.bodies.append(body)
        reply = self.reply(body)
        return completion(reply) if isinstance(reply, str) else reply


@contextmanager
def fake_teacher(reply=reply_to):
    teacher, started, loop, over = FakeTeacher(reply), threading.Event(), asyncio.new_event_loop(), asyncio.Event()

    async def serve():
        async with fake_openai(teacher.handle) as server:
            teacher.base_url = server.base_url
            started.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield teacher
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()
