"""Sentences for people end their lines between words, as wide as the terminal is."""

from __future__ import annotations

import io

import pytest

from worker.cli.terminal import fitted


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        """Somebody looks at it."""
        return True


def test_lines_end_between_words_when_a_sentence_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    asked = "  Address; the vendor names it where it applies [https://cdn.example/CDNService.svc]:"
    assert fitted(asked, Screen()).split("\n") == [
        "  Address; the vendor",
        "  names it where it",
        "  applies",
        "  [https://cdn.example/CDNService.svc]:",
    ]


def test_a_command_stays_whole_when_it_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    said = "Then `cartbridge runs list --state review`, once more"
    assert fitted(said, Screen()).split("\n") == ["Then", "`cartbridge runs list --state review`,", "once more"]


def test_a_text_stays_as_it_is_when_nobody_looks_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    said = "what goes into a file\nis for a program or for grep"
    assert fitted(said, io.StringIO()) == said
