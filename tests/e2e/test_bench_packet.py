"""scripts/bench/packet works, and what it claims apart from figures holds: figures are no test's business."""

import json

import lab as labs
import pytest

SCRIPT = labs.ROOT / "scripts" / "bench" / "packet"
SCENARIOS = ("floor", "steady", "bare-ring", "every-flow", "tracked-slots")
FLOWS = (1, 4096)
RUNS = 3


def bench(*options, check=True):
    return labs.run(SCRIPT, "--no-build", *options, check=check)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    file = tmp_path_factory.mktemp("bench") / "packet.json"
    done = bench("--short", "--json", file)
    return {"text": done.stdout, **json.loads(file.read_text())}


def cases(report, *scenarios):
    found = [case for case in report["cases"] if case["scenario"] in (scenarios or SCENARIOS)]
    assert len(found) == len(scenarios or SCENARIOS) * len(FLOWS)
    return found


def test_every_scenario_is_timed_at_every_number_of_flows(report):
    timed = [(case["flows"], case["scenario"]) for case in report["cases"]]
    assert timed == [(flows, scenario) for flows in FLOWS for scenario in SCENARIOS]
    for case in cases(report):
        assert "skipped" not in case, case
        assert len(case["ns_a_packet"]["runs"]) == RUNS and min(case["ns_a_packet"]["runs"]) > 0


def test_output_and_counters_are_checked_before_the_timing_and_after_every_run(report):
    for case in cases(report):
        assert case["checks"] == {"flows_before_timing": min(case["flows"], 16), "timed_runs": RUNS}, case


def test_the_flow_table_stays_empty_and_unasked_in_the_steady_state(report):
    for case in cases(report, "steady", "bare-ring"):
        assert case["flow_table"]["entries"] == 0, case
        events = case["flow_table"]["events_in_timed_runs"]
        assert "asked" in events and not any(events.values()), case


def test_a_service_that_tracks_every_flow_asks_the_table_for_every_packet(report):
    for case in cases(report, "every-flow"):
        assert case["flow_table"]["entries"] == case["flows"], case
        assert case["flow_table"]["events_in_timed_runs"]["asked"] > RUNS * case["packets_a_run"], case


def test_after_a_drain_only_the_flows_that_it_put_at_risk_ask_the_table(report):
    one, many = cases(report, "tracked-slots")
    assert one["flow_table"]["entries"] == 1
    assert 0 < many["flow_table"]["entries"] < many["flows"] / 2
    assert 0 < many["flow_table"]["events_in_timed_runs"]["asked"] < RUNS * many["packets_a_run"] / 2


def test_the_verdict_compares_the_steady_state_with_the_bare_ring(report):
    assert [verdict["flows"] for verdict in report["verdicts"]] == list(FLOWS)
    assert all(verdict["flow_table_untouched"] for verdict in report["verdicts"])
    assert report["text"].count("steady / bare-ring at") == len(FLOWS)


def test_the_report_fits_a_terminal_and_says_where_it_was_made(report):
    assert max(map(len, report["text"].splitlines())) <= 80
    assert report["machine"]["kernel"] and report["machine"]["cpu"]


@pytest.mark.parametrize("options, remark", [
    (("--flows", "1000"), "1000"), (("--flows", "2^23"), "2^23"), (("--flows", "2^x"), "2^x"),
    (("--scenario", "fast"), "fast"), (("--runs", "0"), "--runs"), (("--packets", "9", "--seconds", "1"), "--packets"),
])
def test_wrong_options_are_refused_by_name(options, remark):
    done = bench(*options, check=False)
    assert done.returncode == 2
    assert remark in done.stderr + done.stdout
