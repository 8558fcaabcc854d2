"""A second process sees what the search sees, and can change nothing."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import browsing
import numpy as np
import pytest
from search_events import ACQUIRED, PLANNED, SETUP, measured, started

from peftcost.core.setup import Setup
from peftcost.observers.narration import words_of
from peftcost.store.run_folder import RunFolder
from peftcost.watch import page as live_page
from peftcost.watch.follower import Follower
from peftcost.watch.page import LivePage
from peftcost.watch.server import PageServer

EVIL = "<script>alert(1)</script>"
OTHER = Setup.of("lora", {**SETUP.hyperparameters, "rank": 2}, 300)
OPENED: dict[str, Any] = {
    "event": "opened",
    "t": 0.0,
    "command": "peftcost search",
    "devices": [{"kind": "cpu", "name": EVIL, "threads": 1}],
    "versions": {},
    "task": {
        "model": "builtin:minilm",
        "data": f"{EVIL}.csv",
        "task": "text-classification",
        "columns": {"text": "t", "label": "l"},
        "metric": "accuracy",
        "margin": 0.01,
        "seed": 0,
        "labels": ["a", EVIL],
        "fingerprints": {"data": "1" * 64, "model": "2" * 64},
        "rows": {"train": 600, "dev": 100, "test": 0},
    },
}
BUDGET = {"event": "budget", "t": 0.0, "limit_gpu_seconds": 600.0, "wall_seconds": None}
EVENTS = [BUDGET, OPENED, PLANNED, ACQUIRED, started(0), measured(0), started(1, OTHER, t=6.0)]


def write(folder: RunFolder, *events: dict[str, Any], ago: float = 0.0) -> None:
    utc = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="milliseconds")
    with folder.journal_file.open("a") as file:
        file.write("".join(json.dumps({"utc": utc, **event}) + "\n" for event in events))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A search that goes on."""
    found = RunFolder(tmp_path)
    for setup in (SETUP, OTHER):
        found.trial(setup.id, 0).mkdir(parents=True)
    np.save(found.trial(SETUP.id, 0) / "dev_rows.npy", np.tile([[1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0]], (25, 1)))
    write(found, *EVENTS)
    return found


def test_it_sees_the_losses_of_what_runs_and_lines_only_when_they_are_whole(folder: RunFolder) -> None:
    follower = Follower(folder)
    assert [(t.setup_id, t.step) for t in follower.look().running] == [(OTHER.id, 0)]
    lines = [{"total_steps": 40, "first_step": 0, "parent": None}, {"step": 10, "train_loss": 0.5}]
    (folder.trial(OTHER.id, 0) / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with folder.journal_file.open("a") as file:
        file.write('{"utc": "2026-11-28T09:30:00+00:00", "event": "measured", "t": 7.0, ')
    (running,) = follower.look().running
    assert (running.step, running.total_steps, running.train_loss) == (10, 40, 0.5)
    with folder.journal_file.open("a") as file:
        file.write(json.dumps(measured(1, t=7.0))[1:].replace('"event": "measured", "t": 7.0, ', "") + "\n")
    assert follower.look().running == []
    assert follower.look().measured == 2


def test_a_search_without_heartbeats_is_not_alive(folder: RunFolder) -> None:
    follower = Follower(folder)
    follower.look()
    assert follower.is_alive()
    assert not follower.is_alive(datetime.now(UTC) + timedelta(seconds=61))


def test_the_command_shows_a_run_that_has_ended_and_says_how_to_go_on(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write(folder, *EVENTS, ago=3600.0)
    done = subprocess.run([sys.executable, "-m", "peftcost", "watch", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "measured lora r=8, lr 1e-3, 300 examples: quality 0.750" in done.stdout
    assert f"No process works on this run; `peftcost resume {tmp_path}` goes on." in done.stdout


@pytest.fixture
def server(folder: RunFolder) -> Iterator[PageServer]:
    with PageServer(LivePage(folder).html, token="secret") as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()


def ask(server: PageServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_the_page_keeps_up_with_the_search_and_escapes_everything(server: PageServer, folder: RunFolder) -> None:
    code, page = ask(server, "/secret/")
    assert code == 200
    assert (
        "1 measured, 0 failed" in page
        and SETUP.id in page
        and f"device 0: {words_of(OTHER)}, explore, seed 0, startup" in page
    )
    assert '<meta http-equiv="refresh"' in page
    assert EVIL not in page
    own = re.sub("<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"""\b(src|href)=(?!["']#)""", own)
    np.save(folder.trial(OTHER.id, 0) / "dev_rows.npy", np.ones((100, 2)))
    write(folder, measured(1, t=7.0))
    assert "2 measured, 0 failed" in ask(server, "/secret/")[1]


def test_a_finished_run_shows_its_report_which_needs_no_refresh(server: PageServer, folder: RunFolder) -> None:
    (folder.path / "report.html").write_text("the report")
    write(folder, {"event": "finished", "t": 9.0})
    assert ask(server, "/secret/") == (200, "the report")


def test_a_browser_keeps_up_by_itself_asks_for_nothing_else_and_keeps_what_was_chosen(
    browser: Any, server: PageServer, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_page, "REFRESH_SECONDS", 1)
    page = browsing.opened(browser, server.url, "#front .main-svg")
    assert "1 measured, 0 failed" in page.locator("#status").inner_text()
    page.click("#axes [data-axis=memory]")
    np.save(folder.trial(OTHER.id, 0) / "dev_rows.npy", np.ones((100, 2)))
    write(folder, measured(1, t=7.0))
    page.locator("#status", has_text="2 measured, 0 failed").wait_for(timeout=30_000)
    page.wait_for_selector("#front .main-svg")
    assert page.get_attribute("#axes [data-axis=memory]", "aria-checked") == "true"
    assert page.locator("script:not([type])").count() == 2 and EVIL in page.locator("body").inner_text()
    assert page.complaints == []
    page.close()


@pytest.mark.parametrize(
    ("method", "path", "headers", "code"),
    [
        ("GET", "/", {}, 404),
        ("GET", "/other/", {}, 404),
        ("GET", "/secret/../events.jsonl", {}, 404),
        ("GET", "/secret/", {"Host": "evil.example:80"}, 404),
        ("POST", "/secret/", {}, 501),
        ("DELETE", "/secret/", {}, 501),
    ],
)
def test_whoever_does_not_know_the_address_sees_nothing_and_nobody_changes_anything(
    server: PageServer, method: str, path: str, headers: dict[str, str], code: int
) -> None:
    assert ask(server, path, method, **headers)[0] == code


def test_it_listens_on_this_machine_alone_under_a_random_address(folder: RunFolder) -> None:
    with PageServer(lambda: "") as one, PageServer(lambda: "") as two:
        assert one.server_address[0] == "127.0.0.1"
        assert one.token != two.token and len(one.token) >= 32
