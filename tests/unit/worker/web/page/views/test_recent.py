from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count

from worker.web.page.views.recent import QUICK_SECONDS, Recent

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_answer_is_found_anew_when_it_is_too_old_or_pushed_out() -> None:
    now, found = [NOW], list[str]()

    def answer(text: str) -> str:
        found.append(text)
        return text

    recent: Recent[str] = Recent(
        timedelta(minutes=1), lambda: now[0], most=2, stopwatch=lambda: len(found) * 2 * QUICK_SECONDS
    )
    assert [recent.get("a", lambda: answer("a1")), recent.get("a", lambda: answer("a2"))] == ["a1", "a1"]
    now[0] += timedelta(minutes=1)
    assert recent.get("a", lambda: answer("a3")) == "a3"
    now[0] -= timedelta(hours=1)  # the clock was set back
    assert recent.get("a", lambda: answer("a4")) == "a4"
    for each in ("b", "c", "a"):
        recent.get(each, lambda each=each: answer(f"{each}5"))  # type: ignore[misc]
    assert found == ["a1", "a3", "a4", "b5", "c5", "a5"]


def test_answer_is_found_anew_each_time_when_that_is_quick() -> None:
    answers = iter(("first", "second"))
    recent: Recent[str] = Recent(timedelta(minutes=1), lambda: NOW, stopwatch=lambda: 0.0)
    assert [recent.get("a", lambda: next(answers)) for _ in range(2)] == ["first", "second"]


def test_every_thread_gets_its_answer_when_many_ask_at_once() -> None:
    ticks = count()
    recent: Recent[int] = Recent(timedelta(minutes=1), lambda: NOW, most=1, stopwatch=lambda: float(next(ticks)))

    def ask(thread: int) -> bool:
        return all(recent.get((thread, each), lambda each=each: each) == each for each in range(20_000))  # type: ignore[misc]

    switch_seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(ask, range(4))) == [True] * 4
    finally:
        sys.setswitchinterval(switch_seconds)
