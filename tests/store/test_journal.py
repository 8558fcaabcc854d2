"""The journal is the truth: nothing written is lost, nothing torn is believed."""

import json
from pathlib import Path

from peftcost.store.journal import Journal, read_events


def test_a_new_journal_leaves_nothing_until_it_has_a_place(tmp_path: Path) -> None:
    journal = Journal()
    journal.write("opened", a=1)
    assert list(tmp_path.iterdir()) == []
    journal.move_to(tmp_path / "events.jsonl")
    journal.write("started", b=2)
    journal.close()
    assert [e["event"] for e in read_events(tmp_path / "events.jsonl")] == ["opened", "started"]


def test_a_torn_last_line_is_dropped_and_writing_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = Journal()
    first.move_to(path)
    first.write("one")
    first.write("two")
    first.close()
    whole = path.read_bytes()
    for cut in range(len(whole)):  # every point at which a crash could have torn it
        path.write_bytes(whole[:cut])
        again = Journal(path)
        again.write("three")
        again.close()
        names = [json.loads(line)["event"] for line in path.read_text().splitlines()]
        assert names == ["one", "two"][: whole[:cut].count(b"\n")] + ["three"]


def test_the_clock_goes_on_from_the_last_session(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps({"event": "released", "t": 100.0, "utc": ""}) + "\n")
    journal = Journal(path)
    event = journal.write("acquired")
    assert 100.0 <= event["t"] < 101.0
