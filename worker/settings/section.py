"""A group of settings: what the first part of their names stands for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings that share the first part of their names. Never changed after it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
