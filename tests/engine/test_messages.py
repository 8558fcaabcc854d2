"""What workers and the controller say to each other."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from peftcost.engine.messages import (
    Died,
    Done,
    Failed,
    Job,
    Measured,
    Message,
    Phase,
    Predicted,
    Progress,
    Ready,
    Unmeasured,
    dict_of,
    failure_of,
    message_of,
)

MESSAGES = [
    Ready(),
    Phase("train", 2.5),
    Progress(3, 10, 0.7),
    Predicted(10**9),
    Measured(1, {"quality": 0.5}),
    Unmeasured(2, "the loss is not finite", "setup"),
    Done({"prepared": "here"}, stays=True),
    Failed("out of memory", "memory"),
    Died(-9),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_survives_the_pipe(message: Message) -> None:
    raw = json.loads(json.dumps(dict_of(message)))
    assert raw["type"] == type(message).__name__.lower()
    assert message_of(raw) == message


def test_every_message_is_tried() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(Message))


def test_a_job_survives_the_pipe() -> None:
    job = Job("train", {"seed": 3}, "workers.log")
    assert Job.from_dict(json.loads(json.dumps(job.as_dict()))) == job


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Failed("out of memory", "memory"), "out of memory"),
        (Unmeasured(0, "the loss is not finite", "setup"), "the loss is not finite"),
        (Died(-9), "its worker was killed by signal 9 (perhaps out of memory)"),
        (Died(1), "its worker ended with exit code 1"),
    ],
)
def test_why_there_is_no_result(message: Failed | Unmeasured | Died, why: str) -> None:
    assert failure_of(message) == why
