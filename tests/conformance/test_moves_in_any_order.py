"""Any promotions, rollbacks and removals, against a plain stack."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from herdbook.core.deployments import Move
from herdbook.errors import (
    Conflict,
    NotFound,
)
from herdbook.services import deployments, versions
from tests.registers import Register


@dataclass
class Plain:
    """What an alias points at, kept as a stack of the versions a rollback goes back to."""

    stack: list[str] = field(default_factory=list)
    present: str = ""

    def after(self, step: str) -> "Plain | None":
        """What a step leads to, or None when it is refused."""
        if step == "remove":
            return Plain(self.stack, "") if self.present else None
        if step != "back":
            return Plain([*self.stack, step], step) if step != self.present else None
        left = self.stack[:-1] if self.present else self.stack
        while left and left[-1] == self.present:  # a removal was all there was between
            left = left[:-1]
        return Plain(left, left[-1]) if left else None


def take(work: Any, step: str) -> Move:
    """Take a step."""
    if step == "back":
        return deployments.rollback(work, "majora")
    if step == "remove":
        return deployments.remove(work, "majora", "champion")
    return deployments.promote(work, f"majora:{step}")


@settings(max_examples=25)
@given(steps=st.lists(st.sampled_from(["v1", "v2", "v3", "back", "remove"]), max_size=14))
def test_any_moves_agree_with_a_stack(register: Register, steps: list[str]) -> None:
    with register.tried() as work:
        for number in ("v1", "v2", "v3"):
            versions.register(work, "majora", draft=versions.Draft(number=number))
        plain, epoch = Plain(), 0
        for step in steps:
            after = plain.after(step)
            if after is None:
                with pytest.raises((Conflict, NotFound)):
                    take(work, step)
                continue
            move, epoch = take(work, step), epoch + 1
            assert (move.epoch, move.from_number, move.to_number) == (
                epoch,
                plain.present,
                after.present,
            )
            plain = after

        held = work.deployments.get("majora", "champion")
        found = versions.page(work, filter="status = 'production'").items
        assert (held.number if held else "") == plain.present
        assert [v.number for v in found] == ([plain.present] if plain.present else [])
