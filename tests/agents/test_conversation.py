from __future__ import annotations

import tracemalloc

from apps.agents.conversation import Conversation
from apps.agents.models import Session


def test_a_conversation_takes_little_more_memory_than_its_messages() -> None:
    opening = [{"role": "system", "content": "x" * 3000}, {"role": "user", "content": "y" * 700}]
    session = Session(opening=opening, native_tools=True, actions=["read_file"])
    Conversation.load(session, ())  # what all conversations share is made once
    tracemalloc.start()
    try:
        talks = [Conversation.load(session, ()) for _ in range(20)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = sum(len(message) for talk in talks for message in talk.messages)
    assert taken < 1.6 * size
