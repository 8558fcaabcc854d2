"""The contract of task types, to be run over one's own: derive a test class from it, give it `kind`, `rows` and `model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from peftcost.data.table import Table
from peftcost.errors import UserError
from peftcost.tasks import Example, TaskType
from peftcost.tasks.targets import Targets, targets_from

MAX_LENGTH = 24


class TaskTypeContract:
    """What every task type holds to.

    rows: at least 12 usable ones, as a data file gives them, of which any half can be learnt from. columns: role -> column.
    """

    rows: ClassVar[Sequence[Mapping[str, Any]]]
    columns: ClassVar[Mapping[str, str]]

    def kind(self) -> TaskType:
        """The task type."""
        raise NotImplementedError

    @pytest.fixture
    def model(self) -> Path:
        """The folder of a small base with its processor."""
        raise NotImplementedError

    def examples(self, labelled: bool = True) -> list[Example]:
        return self.kind().read(self.table(self.rows), self.columns, labelled)

    def table(self, rows: Sequence[Mapping[str, Any]]) -> Table:
        names = list(dict.fromkeys(name for row in rows for name in row))
        return Table("data.jsonl", names, [dict(row) for row in rows], list(range(1, len(rows) + 1)))

    def encoded(self, model: Path, targets: Targets | None = None) -> tuple[Any, Any]:
        """(split, padding) of all rows; inputs alone where targets is None."""
        kind, processor = self.kind(), self.kind().processor(str(model))
        examples = self.examples(labelled=targets is not None)
        return kind.encode(processor, examples, targets, MAX_LENGTH), kind.padding(processor)

    def test_rows_become_examples_that_say_where_they_stand(self) -> None:
        kind, examples = self.kind(), self.examples()
        assert len(examples) == len(self.rows)
        assert all({*kind.roles, "place"} <= example.keys() for example in examples)
        assert all(not set(kind.target_roles) & example.keys() for example in self.examples(labelled=False))
        assert [kind.content(example) for example in examples] == [kind.content(example) for example in self.examples()]
        assert kind.can_learn(examples)
        assert not kind.can_learn([])

    def test_a_row_without_its_input_or_target_is_refused_with_its_place(self) -> None:
        kind = self.kind()
        for role in self.columns:
            broken = [dict(row) for row in self.rows]
            broken[2][self.columns[role]] = None
            with pytest.raises(UserError, match="line 3"):
                kind.read(self.table(broken), self.columns)

    def test_targets_travel_as_json_and_suit_the_default_metric(self) -> None:
        kind, examples = self.kind(), self.examples()
        targets = kind.targets(examples)
        assert targets_from(targets.as_dict()) == targets
        assert targets.describe()
        metric, _ = kind.default_metric(examples)
        kind.check_metric(metric, targets)
        kind.check_targets(examples, targets, "dev")

    def test_a_batch_trains(self, model: Path) -> None:
        """The loss is a sum over as many targets as are counted, and has a gradient."""
        import torch

        kind, targets = self.kind(), self.kind().targets(self.examples())
        split, padding = self.encoded(model, targets)
        network = self.network(model, targets)
        batch = kind.collate(split, np.arange(5), padding, MAX_LENGTH)
        assert batch.rows == 5
        loss, n = kind.loss(network(**batch.inputs).logits, batch)
        assert int(n) == int(kind.target_counts(split, MAX_LENGTH)[:5].sum())
        loss.backward()
        assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in network.parameters())
        with torch.no_grad():
            wide = kind.collate(split, np.arange(5), padding, MAX_LENGTH, width=MAX_LENGTH)
            torch.testing.assert_close(kind.loss(network(**wide.inputs).logits, wide)[0], loss.detach(), rtol=1e-3, atol=1e-4)

    def test_predictions_are_statistics_of_which_every_metric_makes_a_number(self, model: Path) -> None:
        """A row that stands twice counts like one of weight two."""
        import torch

        kind, targets = self.kind(), self.kind().targets(self.examples())
        split, padding = self.encoded(model, targets)
        batch = kind.collate(split, np.arange(len(split)), padding, MAX_LENGTH)
        with torch.no_grad():
            rows = kind.predict(self.network(model, targets)(**batch.inputs).logits, batch, targets)
        assert rows.dtype == np.float32
        assert len(rows) == len(split)
        weights = np.ones((3, len(rows)))
        weights[1, 4:] = 0
        weights[2, 1] = 2
        for metric in kind.metrics.values():
            low, high = metric.limits
            values = metric.compute(rows, weights)
            assert values.shape == (3,)
            assert np.isfinite(values).all()
            assert (values >= low - 1e-9).all()
            assert (values <= high + 1e-9).all()
            assert metric.compute(rows[:4], np.ones((1, 4)))[0] == pytest.approx(values[1])
            assert metric.compute(np.concatenate([rows, rows[1:2]]), np.ones((1, len(rows) + 1)))[0] == pytest.approx(
                values[2]
            )

    def test_baselines_predict_what_is_scored_alike(self) -> None:
        kind, examples = self.kind(), self.examples()
        targets = kind.targets(examples)
        for baseline in kind.baselines().values():
            rows = baseline.rows(examples, examples[:6], targets)
            assert baseline.title
            assert rows is None or len(rows) == 6

    def test_inputs_alone_are_described(self, model: Path) -> None:
        import torch

        kind, targets = self.kind(), self.kind().targets(self.examples())
        split, padding = self.encoded(model)
        batch = kind.collate(split, np.arange(4), padding, MAX_LENGTH)
        if kind.generates:
            described = [kind.written(kind.processor(str(model)), row[:3].tolist()) for row in batch.inputs["input_ids"]]
        else:
            with torch.no_grad():
                described = kind.describe(self.network(model, targets)(**batch.inputs).logits, batch, targets)
        assert len(described) == 4
        assert all(one and all(isinstance(name, str) for name in one) for one in described)
        assert all(set(kind.described) <= set(one) for one in described)

    def test_a_dummy_batch_has_the_shape_that_was_asked_for(self, model: Path) -> None:
        kind, targets = self.kind(), self.kind().targets(self.examples())
        network = self.network(model, targets)
        batch = kind.dummy_batch(network.config, targets, (4, 3))
        assert batch.rows == 2
        loss, _ = kind.loss(network(**batch.inputs).logits, batch)
        loss.backward()

    def network(self, model: Path, targets: Targets) -> Any:
        """The model with the task's head, in eval mode."""
        from peftcost.engine.base_model import BaseSpec, load_base

        kind = self.kind()
        spec = BaseSpec(str(model), kind.auto_model, kind.model_options(targets), kind.fresh_head)
        return load_base(spec, seed=0).eval()
