"""Batches of trials, each on a ledger of its own, in a process of its own: so two engines are tried side by side."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from tests.faults.races.deployment import Company
from tests.faults.races.trial import Trial, run_trial
from tests.integration.servers import PostgresServer
from worker.ledger.session import Ledger

BATCH = 20
POSTGRESQL, SQLITE = "postgresql", "sqlite"


@dataclass(frozen=True)
class Batch:
    """Seeds that are tried one after the other on one new ledger."""

    engine: str
    seeds: tuple[int, ...]


def engine_of(seed: int) -> str:
    """Three trials of five are on PostgreSQL; a seed always has the same engine."""
    return POSTGRESQL if seed % 5 < 3 else SQLITE


def batches_of(seeds: Sequence[int]) -> list[Batch]:
    """The seeds by engine, in batches, the engines taking turns as far as they go."""
    batches = []
    for engine in (POSTGRESQL, SQLITE):
        own = [seed for seed in seeds if engine_of(seed) == engine]
        batches += [Batch(engine, tuple(own[start : start + BATCH])) for start in range(0, len(own), BATCH)]
    return sorted(batches, key=lambda batch: batch.seeds)


class Ledgers:
    """Gives out empty, migrated ledgers: copies of one that was migrated once, on servers of our own."""

    def __init__(self) -> None:
        self._closing = ExitStack()
        self._folder = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="cartbridge-races-")))
        self._templates: dict[str, str] = {}
        self._server: PostgresServer | None = None
        self._given = 0

    def new(self, engine: str) -> tuple[str, Path]:
        """The URL of an empty ledger, and a folder for what goes with it."""
        if engine not in self._templates:
            self._templates[engine] = self._migrated(engine)
        self._given += 1
        folder = self._folder / str(self._given)
        folder.mkdir()
        if self._server is not None and engine == POSTGRESQL:
            return self._server.create_database(template=self._templates[engine].rpartition("/")[2]), folder
        return f"sqlite:///{shutil.copy(self._folder / 'template.db', folder / 'cartbridge.db')}", folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.close()

    def _migrated(self, engine: str) -> str:
        if engine == POSTGRESQL:
            self._server = self._closing.enter_context(PostgresServer())
            url = self._server.create_database()
        else:
            url = f"sqlite:///{self._folder / 'template.db'}"
        ledger = Ledger(url)
        ledger.migrate()
        ledger.close()
        return url


def run_batches(seeds: Sequence[int], *, jobs: int) -> Iterator[tuple[Batch, list[Trial]]]:
    """Try all seeds, `jobs` batches at a time; gives each batch with its trials as it ends."""
    with Ledgers() as ledgers, ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        under_way = {pool.submit(_run_batch, batch, *ledgers.new(batch.engine)): batch for batch in batches_of(seeds)}
        for done in as_completed(under_way):
            yield under_way[done], done.result()


def _run_batch(batch: Batch, ledger_url: str, folder: Path) -> list[Trial]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with Company(ledger_url, folder) as company:
        return [run_trial(company, seed) for seed in batch.seeds]
