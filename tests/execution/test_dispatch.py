"""The dispatcher's rules, without processes and without a clock."""

from __future__ import annotations

import random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lowland.execution import dispatch, times
from lowland.execution.dispatch import Dispatcher
from lowland.execution.outcome import Scored, ScoringFailure, Shortage
from lowland.execution.tickets import Assignment, Ending

KILLED = Ending("killed by SIGKILL")
CRASHED = Ending("killed by SIGSEGV", own=True)
GOOD = Scored(value=1.0)


def of(count: int, *workers: str, host: str | None = None) -> Dispatcher:
    found = Dispatcher()
    for worker in workers:
        found.join(worker, host or worker)
    found.begin(count, "kind")
    return found


def given_out(dispatcher: Dispatcher, now: float = 0.0) -> dict[str, Assignment]:
    return {str(each.worker): each for each in dispatcher.assignments(now)}


def results(dispatcher: Dispatcher) -> dict[int, object]:
    return {index: each.found for index, each in dispatcher.settled()}


def test_the_earliest_go_first_and_come_back_in_order() -> None:
    dispatcher = of(3, "a", "b")
    out = given_out(dispatcher)
    assert [out[name].index for name in "ab"] == [0, 1]
    dispatcher.answered("b", out["b"].ticket, GOOD, 1.0)
    assert results(dispatcher) == {}
    assert given_out(dispatcher)["b"].index == 2
    dispatcher.answered("a", out["a"].ticket, GOOD, 1.0)
    assert list(results(dispatcher)) == [0, 1]


def test_none_is_handed_out_beyond_the_window() -> None:
    dispatcher = of(100, "a", "b")
    out = given_out(dispatcher)
    handed, now = 2, 0.0
    while dispatcher.running == 2:
        now += 0.6
        dispatcher.answered("b", out["b"].ticket, Scored(value=0.0), now)
        out |= given_out(dispatcher, now)
        handed += dispatcher.running == 2
    assert handed == 2 * dispatch.WINDOW


def test_short_candidates_go_two_at_a_time_and_only_the_running_one_is_blamed() -> None:
    dispatcher = of(9, "a")
    first = given_out(dispatcher)["a"]
    dispatcher.answered("a", first.ticket, GOOD, 0.01)
    assert [each.index for each in dispatcher.assignments(0.01)] == [1, 2]
    dispatcher.lost("a", CRASHED)
    dispatcher.join("b", "b")
    assert [each.index for each in dispatcher.assignments(0.02)] == [1, 2]
    dispatcher.lost("b", CRASHED)
    (_, _), (index, failed) = ((index, each.found) for index, each in dispatcher.settled())
    assert index == 1
    assert isinstance(failed, ScoringFailure)
    assert str(failed) == "2 worker processes crashed scoring it (killed by SIGSEGV)"
    dispatcher.join("c", "c")
    assert next(dispatcher.assignments(0.03)).index == 2


def test_an_answer_that_is_lost_with_its_worker_blames_nobody_but_what_was_running() -> None:
    dispatcher = of(9, "a")
    first = given_out(dispatcher)["a"]
    dispatcher.answered("a", first.ticket, GOOD, 0.01)
    for name in "bc":
        _, second = dispatcher.assignments(0.02)
        dispatcher.lost(str(second.worker), Ending("killed by SIGSEGV", own=True, began=second.ticket))
        dispatcher.join(name, name)
    found = {index: each.found for index, each in dispatcher.settled_in_any_order()}
    assert isinstance(found[2], ScoringFailure)
    assert 1 not in found
    assert [each.index for each in dispatcher.assignments(0.03)] == [1, 3]


def test_a_worker_that_dies_after_all_its_answers_blames_nobody() -> None:
    dispatcher = of(9, "a")
    first = given_out(dispatcher)["a"]
    dispatcher.answered("a", first.ticket, GOOD, 0.01)
    assert [each.index for each in dispatcher.assignments(0.02)] == [1, 2]
    dispatcher.lost("a", Ending("gone", began=first.ticket))
    assert dispatcher.counts.retried == 0
    dispatcher.join("b", "b")
    assert [each.index for each in dispatcher.assignments(0.03)] == [1, 2]


def test_losses_never_fail_a_candidate_and_stop_the_search_in_the_end() -> None:
    dispatcher = of(1, "0")
    for attempt in range(dispatch.TRIES + dispatch.ALONE):
        assert not results(dispatcher)
        assert given_out(dispatcher)[str(attempt)].index == 0
        dispatcher.lost(str(attempt), KILLED)
        dispatcher.join(str(attempt + 1), "host")
    (found,) = results(dispatcher).values()
    assert isinstance(found, Shortage)
    assert str(found) == "6 worker processes died scoring it (killed by SIGKILL)"


def test_after_two_losses_a_candidate_has_its_machine_to_itself() -> None:
    dispatcher = of(6, "a", "b", host="one")
    out = given_out(dispatcher)
    for name in "ac":
        dispatcher.lost(name, KILLED)
        dispatcher.join("c" if name == "a" else "d", "one")
        if name == "a":
            assert given_out(dispatcher)["c"].index == 0
    assert given_out(dispatcher) == {}, "the other worker still scores"
    dispatcher.answered("b", out["b"].ticket, GOOD, 1.0)
    (alone,) = dispatcher.assignments(1.0)
    assert alone.index == 0
    assert given_out(dispatcher, 1.0) == {}, "and nothing begins beside it"
    dispatcher.answered(alone.worker, alone.ticket, GOOD, 2.0)
    assert len(given_out(dispatcher, 2.0)) == 2


def test_memory_short_twice_is_settled_with_both_attempts() -> None:
    dispatcher = of(1, "a")
    first, second = Shortage("first"), Shortage("second")
    dispatcher.answered("a", given_out(dispatcher)["a"].ticket, first, 1.0)
    dispatcher.answered("a", given_out(dispatcher, 1.0)["a"].ticket, second, 2.0)
    ((index, settled),) = dispatcher.settled()
    assert (index, settled.found, settled.first) == (0, second, first)


def slow(dispatcher: Dispatcher) -> tuple[Assignment, float]:
    """One of three candidates is past the deadline, all others are answered; it and the time."""
    out = given_out(dispatcher)
    dispatcher.answered("b", out["b"].ticket, GOOD, 1.0)
    more = given_out(dispatcher, 1.0)
    now = 2.0
    dispatcher.answered("b", more["b"].ticket, GOOD, now)
    return out["a"], now


def test_a_slow_candidate_gets_a_second_worker_and_the_first_answer_counts() -> None:
    dispatcher = of(3, "a", "b")
    mine, now = slow(dispatcher)
    assert given_out(dispatcher, now) == {}
    wake = dispatcher.wake()
    assert wake == times.IDLE_SECONDS
    copy = given_out(dispatcher, wake)["b"]
    assert copy.index == mine.index == 0
    dispatcher.answered("b", copy.ticket, GOOD, 30.0)
    assert results(dispatcher) == {0: GOOD, 1: GOOD, 2: GOOD}
    assert dispatcher.stuck(80.0) == []
    assert dispatcher.stuck(91.0) == ["a"], "it has not come back a whole deadline later"
    dispatcher.lost("a", KILLED)
    dispatcher.answered("a", mine.ticket, Scored(value=2.0), 92.0)
    assert results(dispatcher) == {}


def test_what_is_queued_behind_a_candidate_past_its_deadline_goes_elsewhere() -> None:
    dispatcher = of(9, "a")
    dispatcher.answered("a", given_out(dispatcher)["a"].ticket, GOOD, 0.01)
    assert [each.index for each in dispatcher.assignments(0.01)] == [1, 2]
    dispatcher.join("b", "b")
    assert [each.index for each in dispatcher.assignments(0.02)] == [3, 4]
    for name in ("c", "d"):
        dispatcher.join(name, name)
    late = 0.01 + times.PATIENCE_SECONDS
    assert [each.index for each in dispatcher.assignments(late)][:2] == [1, 2]


def test_answers_to_a_batch_that_was_left_are_not_taken() -> None:
    dispatcher = of(2, "a")
    old = given_out(dispatcher)["a"]
    dispatcher.begin(1, "kind")
    dispatcher.answered("a", old.ticket, Scored(value=9.0), 1.0)
    assert results(dispatcher) == {}
    assert given_out(dispatcher, 1.0)["a"].index == 0


@settings(max_examples=60, deadline=None)
@example(seed=3521869219, count=2, losses=5, shortages=1)  # short of memory, alone after two losses
@example(seed=3945604105, count=12, losses=2, shortages=1)  # one is to be alone where a later one has the machine
@example(seed=5, count=6, losses=2, shortages=0)  # a worker overtaken and past its deadline is stuck once, not twice
@given(seed=st.integers(0, 2**32), count=st.integers(1, 12), losses=st.integers(0, 5), shortages=st.integers(0, 1))
def test_every_candidate_is_settled_once_whatever_happens(seed: int, count: int, losses: int, shortages: int) -> None:
    """Workers come, answer, run short of memory and are lost in any order: no candidate fails, none is left out.

    One that ran short of memory alone on its machine, after losses, is settled as short: nothing else can be tried.
    """
    draw, made, now = random.Random(seed), 3, 0.0
    dispatcher = Dispatcher()
    running: dict[str, list[int]] = {str(name): [] for name in range(made)}
    for name in running:
        dispatcher.join(name, int(name) % 2)
    dispatcher.begin(count, "kind")
    order: list[int] = []
    for _ in range(2000):
        now += draw.choice((0.1, 5.0, 100.0))
        for each in dispatcher.assignments(now):
            running[str(each.worker)].append(each.ticket)
        for worker in dispatcher.stuck(now):
            dispatcher.lost(worker, KILLED)
            del running[str(worker)]
        for index, each in dispatcher.settled():
            order.append(index)
            assert isinstance(each.found, Scored) or (isinstance(each.found, Shortage) and each.first is not None)
        if len(order) == count:
            break
        busy = sorted(name for name, tickets in running.items() if tickets)
        name, what = draw.choice(busy or [""]), draw.choice(("answer", "answer", "loss", "short"))
        if busy and what == "loss" and losses:
            losses -= 1
            dispatcher.lost(name, KILLED)
            del running[name]
        elif busy:
            short = what == "short" and shortages > 0
            shortages -= short
            dispatcher.answered(name, running[name].pop(0), Shortage("memory") if short else GOOD, now)
        while len(running) < 3:
            running[str(made)] = []
            dispatcher.join(str(made), made % 2)
            made += 1
    assert order == list(range(count))


def test_what_is_late_is_told_by_the_kind_of_the_batch_that_takes_longest() -> None:
    found = times.Times()
    found.begin()
    assert not found.known
    found.expect("judging")
    found.add(0.2, "judging")
    assert found.short()
    found.expect("leg")
    found.add(40.0, "leg")
    assert not found.short()
    assert (found.seems_slow(), found.deadline()) == (80.0, 200.0)
    found.begin()
    assert not found.known
    found.expect("judging")  # times of a kind are kept
    assert found.short()


def of_kinds(workers: str, *kinds: str) -> Dispatcher:
    """These workers, and a batch with a task of each of these kinds."""
    dispatcher = Dispatcher()
    for name in workers:
        dispatcher.join(name, name)
    dispatcher.begin(0, "evaluation")
    for kind in kinds:
        dispatcher.extend(kind)
    return dispatcher


def test_the_first_of_a_kind_is_not_late_by_the_times_of_another() -> None:
    dispatcher = of_kinds("abc", "judging", "leg", "leg")
    out = given_out(dispatcher)
    dispatcher.answered("a", out["a"].ticket, GOOD, 0.1)
    assert not dispatcher._times.short(), "or a leg would be queued behind another"
    for now in (times.IDLE_SECONDS + 1, times.PATIENCE_SECONDS + 1):
        assert given_out(dispatcher, now) == {}, "nobody knows yet how long a leg takes"
    dispatcher.answered("b", out["b"].ticket, GOOD, 62.0)
    assert given_out(dispatcher, 62.0) == {}
    late = given_out(dispatcher, 2 * 62.0)
    assert [each.index for each in late.values()] == [2], "now it is known"


def test_the_only_one_of_its_kind_is_late_in_the_end() -> None:
    dispatcher = of_kinds("ab", "judging", "leg")
    out = given_out(dispatcher)
    dispatcher.answered("a", out["a"].ticket, GOOD, 0.1)
    assert dispatcher.wake() == times.UNKNOWN_SECONDS
    assert given_out(dispatcher, times.UNKNOWN_SECONDS)["a"].index == 1
