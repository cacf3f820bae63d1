import math

import pytest

from lionweb.charts import BINS_PER_POINT, fill_bins, smooth, thin, weight_for
from lionweb.models import StageKind
from lionweb.selectors.charts import gap_histogram
from tests import factories as make


def fetch(client, experiment, query=""):
    return client.get(f"/experiments/{experiment.pk}/charts/{query}").json()


class TestNumbers:
    def test_smoothing_has_no_bias_at_its_start(self):
        assert smooth([2.0, 2.0, 2.0], 0.9) == pytest.approx([2.0, 2.0, 2.0])

    def test_smoothing_lies_between_the_values_and_follows_them(self):
        smoothed = smooth([3.0, 1.0, 1.0, 1.0], 0.5)
        assert smoothed == sorted(smoothed, reverse=True)
        assert 1.0 < smoothed[-1] < 3.0

    def test_what_is_not_a_number_does_not_spoil_the_curve(self):
        smoothed = smooth([1.0, math.nan, 1.0], 0.9)
        assert smoothed == pytest.approx([1.0, 1.0, 1.0])

    @pytest.mark.parametrize("length", [0, 1, 5, 1000, 12_345])
    def test_thinning_keeps_order_first_and_last(self, length):
        kept = thin(length, 100)
        assert kept == sorted(set(kept))
        assert len(kept) == min(length, 100)
        assert not length or (kept[0], kept[-1]) == (0, length - 1)

    def test_long_curves_are_smoothed_more_than_short_ones(self):
        assert 0.5 <= weight_for(5) < weight_for(100) < weight_for(100_000) < 1

    def test_bins_without_items_are_counted_as_zero(self):
        assert fill_bins({-1: 2, 2: 5}) == (-1, [2, 0, 0, 5])
        assert fill_bins({}) == (0, [])


class TestEndpoint:
    @pytest.fixture
    def researcher(self, client, alice):
        client.force_login(alice)
        return client

    @pytest.fixture
    def experiment(self, alice):
        return make.make_experiment(alice)

    def test_an_experiment_without_iterations_has_empty_charts(self, researcher, experiment):
        empty = {"x": [], "y": []}
        trends = {"loss": empty, "gap": empty, "hard_share": empty}
        assert fetch(researcher, experiment) == {"training": {}, "gaps": {}, "trends": trends}

    def test_training_curves_come_raw_and_smoothed(self, researcher, experiment):
        make.finish_iteration(experiment, 1)
        training = fetch(researcher, experiment)["training"]
        loss = training["loss"]
        assert loss["steps"] == list(range(1, 61))
        assert len(loss["values"]) == len(loss["smooth"]) == 60
        assert {"learning_rate", "tokens_per_second", "memory_bytes"} <= set(training)

    def test_trends_begin_with_the_base_and_end_with_the_last_checkpoint(self, researcher, experiment):
        make.finish_iteration(experiment, 1, hard=9, easy=13, unscored=2)
        make.finish_iteration(experiment, 2, hard=6, easy=18, unscored=0)
        trends = fetch(researcher, experiment, "?iteration=1")["trends"]
        assert trends["loss"]["x"] == trends["gap"]["x"] == [0, 1, 2]
        assert trends["loss"]["y"] == pytest.approx([3.2, 1.44, 1.34])
        assert trends["gap"]["y"] == sorted(trends["gap"]["y"], reverse=True)
        assert trends["hard_share"] == {"x": [1, 2], "y": [pytest.approx(9 / 22), pytest.approx(6 / 24)]}

    @pytest.mark.parametrize(("tau", "hard"), [(1.0, 3), (0.95, 4), (1.05, 2), (-9.0, 5)])
    def test_moving_the_threshold_counts_exactly_what_the_verdict_would(self, experiment, tau, hard):
        iteration = make.make_iteration(experiment, done=4)
        gaps = [1.0, 0.95, 1.05, 3.5, -0.15, None]
        make.classify(iteration, make.make_checkpoint(iteration), make.make_instructions(6), gaps)
        found = gap_histogram(iteration, tau)
        edge = round(tau * BINS_PER_POINT) - found["first"]
        assert sum(found["counts"]) == 5
        assert sum(count for place, count in enumerate(found["counts"]) if place >= edge) == hard
        assert hard == sum(gap is not None and gap >= tau for gap in gaps)

    def test_the_heldout_set_is_not_part_of_the_histogram(self, experiment):
        iteration = make.make_iteration(experiment, done=4)
        checkpoint = make.make_checkpoint(iteration)
        make.classify(iteration, checkpoint, make.make_instructions(2), [1.0, 2.0], pool="heldout")
        assert gap_histogram(iteration, 1.0)["counts"] == []

    def test_a_long_training_is_thinned(self, researcher, experiment):
        iteration = make.make_iteration(experiment, done=2)
        make.add_metrics(make.stage_of(iteration, StageKind.TRAIN), steps=2500)
        loss = fetch(researcher, experiment)["training"]["loss"]
        assert (len(loss["steps"]), loss["steps"][0], loss["steps"][-1]) == (1000, 1, 2500)

    def test_charts_take_few_queries_and_a_sign_in(self, researcher, client, experiment, django_assert_max_num_queries):
        make.finish_iteration(experiment, 1)
        with django_assert_max_num_queries(9):
            fetch(researcher, experiment)
        client.logout()
        assert client.get(f"/experiments/{experiment.pk}/charts/").status_code == 302
