"""Each tracker, offline, against its own files. A package that is not installed is passed over."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from peftcost.errors import UserError
from peftcost.testing.trackers import Delivered, TrackerContract
from peftcost.trackers import TrackedSearch, Tracker, get_tracker, trackers

MEASURED = "measured"


class TestTensorBoard(TrackerContract):
    keeps_files = False  # it stays beside the event files

    def tracker(self) -> Tracker:
        pytest.importorskip("tensorboard")
        return get_tracker("tensorboard")

    def delivered(self, search: TrackedSearch) -> Delivered:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util import tensor_util

        facts, curves, figures = {}, {}, {}
        for folder in (search.folder / "tensorboard").iterdir():
            read = EventAccumulator(str(folder)).Reload()
            scalars = {name: [(e.step, e.value) for e in read.Scalars(name)] for name in read.Tags()["scalars"]}
            curves[folder.name] = {name: found for name, found in scalars.items() if "/" not in name}
            figures[folder.name] = {name.split("/")[1]: found[0][1] for name, found in scalars.items() if "/" in name}
            texts = [
                tensor_util.make_ndarray(e.tensor_proto).item().decode() for e in read.Tensors(read.Tags()["tensors"][0])
            ]
            facts[folder.name] = dict(line.split(": ") for line in texts[0].split("\n\n") if ": " in line)
        return Delivered(facts, curves, figures)


class TestMLflow(TrackerContract):
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")

    def tracker(self) -> Tracker:
        pytest.importorskip("mlflow")
        return get_tracker("mlflow")

    def delivered(self, search: TrackedSearch) -> Delivered:
        from mlflow import MlflowClient

        client = MlflowClient()
        facts: dict[str, Any] = {}
        curves: dict[str, Any] = {}
        figures: dict[str, Any] = {}
        files: dict[str, str] = {}
        experiment = client.get_experiment_by_name("peftcost")
        assert experiment is not None
        for run in client.search_runs([experiment.experiment_id]):
            name, own = run.info.run_name, run.info.run_id
            if "mlflow.parentRunId" not in run.data.tags:
                assert name == search.name
                for file in client.list_artifacts(own):
                    files[file.path] = Path(client.download_artifacts(own, file.path)).read_text()
                continue
            facts[name] = run.data.params
            history = {m: [(p.step, p.value) for p in client.get_metric_history(own, m)] for m in run.data.metrics}
            curves[name] = {m: found for m, found in history.items() if not m.startswith(MEASURED)}
            figures[name] = {m.removeprefix("measured_"): f[0][1] for m, f in history.items() if m.startswith(MEASURED)}
        return Delivered(facts, curves, figures, files)


class TestWandB(TrackerContract):
    @pytest.fixture(autouse=True)
    def offline(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("WANDB_MODE", "offline")
        for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
            monkeypatch.setenv(name, str(tmp_path / name))

    def tracker(self) -> Tracker:
        pytest.importorskip("wandb")
        return get_tracker("wandb")

    def delivered(self, search: TrackedSearch) -> Delivered:
        import wandb

        wandb.teardown()  # `finish` does not wait until wandb's service has written the file; the end of a process does
        found = Delivered({}, {}, {}, {})
        for file in (search.folder / "wandb").glob("offline-run-*/*.wandb"):
            read_wandb(file, search.name, found)
        return found


def read_wandb(file: Path, group: str, into: Any) -> None:
    """Take in what an offline run holds."""
    records = wandb_records(file)
    run = next(record.run for record in records if record.HasField("run"))
    assert run.run_group == group
    if run.job_type == "report":
        requests = [record.request for record in records if record.HasField("request")]
        artifacts = [request.log_artifact.artifact for request in requests if request.HasField("log_artifact")]
        artifacts += [record.artifact for record in records if record.HasField("artifact")]
        for entry in (entry for artifact in artifacts for entry in artifact.manifest.contents):
            into.files[entry.path] = Path(entry.local_path).read_text()
        return
    config = {update.key: json.loads(update.value_json) for update in run.config.update}
    into.facts[run.display_name] = {name: str(value) for name, value in config.items() if name != "_wandb"}
    curves = defaultdict(list)
    for record in records:
        if record.HasField("history"):
            row = values_of(record.history.item)
            for name in row.keys() - {"step"}:
                curves[name].append((row["step"], row[name]))
    into.curves[run.display_name] = dict(curves)
    summary = {}
    for record in records:
        if record.HasField("summary"):
            summary |= values_of(record.summary.update)
    figures = {name: value for name, value in summary.items() if name.startswith(MEASURED)}
    into.figures[run.display_name] = {name.split("/")[1]: value for name, value in figures.items()}


def values_of(items: Any) -> dict[str, Any]:
    named = {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in items}
    return {name: value for name, value in named.items() if not name.startswith("_")}


def wandb_records(file: Path) -> list[Any]:
    """Its records: LevelDB's log format after a header of 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts, found = file.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            found.append(record)
            parts = b""
    return found


def test_all_trackers_are_found_by_their_files() -> None:
    assert trackers() == ["mlflow", "tensorboard", "wandb"]


def test_an_unknown_tracker_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError, match="tensorbord.*tensorboard"):
        get_tracker("tensorbord")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peftcost.trackers.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install mlflow-skinny"):
        get_tracker("mlflow")
