"""Findings in words: faults as one clause, their explanation once."""

from __future__ import annotations

from handsynth.store.findings import Finding, is_sound, not_checkable, refusals, tell

WHY = "the labels agree with the images if y is negated"
FOUND = [
    Finding(check="keys", status="ok", text="fine"),
    Finding(check="side", status="fault", text=f"wrong; {WHY}", why=WHY),
    Finding(check="depth", status="fault", text=f"far; {WHY}", why=WHY),
    Finding(check="palm", status="warning", text="long"),
    not_checkable("mask", "there is none"),
]


def test_faults_are_one_clause() -> None:
    assert refusals(FOUND) == f"side: wrong; depth: far; {WHY}"
    assert refusals([FOUND[0], *FOUND[3:]]) == ""
    assert not is_sound(FOUND)
    assert is_sound([FOUND[0], *FOUND[3:]])


def test_what_is_wrong_is_said() -> None:
    said: list[str] = []
    tell(FOUND, said.append)
    assert said == ["side: fault; wrong", "depth: fault; far", "palm: warning; long", WHY]
