from __future__ import annotations

import resource

import pytest

from worker.web.connections import most_connections


@pytest.mark.parametrize(
    ("files", "most"),
    [(64, 16), (256, 128), (1024, 768), (4096, 1000), (1_048_576, 1000), (resource.RLIM_INFINITY, 1000)],
)
def test_files_are_left_for_the_work_when_connections_are_capped(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert most_connections() == most
