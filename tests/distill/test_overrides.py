import pytest

from distill.errors import SettingsError
from distill.overrides import with_overrides
from distill.settings import ExperimentSettings, TrainingSettings

PRESET = ExperimentSettings(training=TrainingSettings(epochs=5, lora_r=8), seed=3)


def test_only_what_is_named_changes():
    changed = with_overrides(PRESET, {"training": {"epochs": 2}, "iterations": 1})
    assert changed.training == TrainingSettings(epochs=2, lora_r=8)
    assert (changed.iterations, changed.seed) == (1, 3)
    assert changed.teacher == PRESET.teacher


def test_nothing_named_changes_nothing():
    assert with_overrides(PRESET, {}) == PRESET


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ([], "settings"),
        ({"training": None}, "training"),
        ({"training": {"epoch": 1}}, "training.epoch"),
        ({"epochs": 1}, "epochs"),
        ({"training": {"epochs": "2"}}, "training.epochs"),
    ],
)
def test_what_is_wrong_is_named(changes, field):
    with pytest.raises(SettingsError) as raised:
        with_overrides(PRESET, changes)
    assert raised.value.field == field
