"""Settings: one spelling, one hash, errors that name the key."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.errors import DataError, MissingError, UsageError
from handsynth.runtime.seeds import entropy, rng
from handsynth.runtime.settings import (
    Settings,
    canonical_json,
    convert,
    digest,
    json_schema,
    load_toml,
    override,
    parse,
    pretty_json,
)


class Inner(Settings, frozen=True, kw_only=True):
    rate: float = 0.5
    kind: str = "a"


class Outer(Settings, frozen=True, kw_only=True):
    steps: int = 10
    inner: Inner = Inner()
    names: tuple[str, ...] = ()


plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(max_size=4), plain, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical_json(value) == canonical_json(turned)
    assert digest(value) == digest(turned)
    assert msgspec.json.decode(pretty_json(value)) == value


def test_any_change_changes_the_hash() -> None:
    hashes = {digest(value) for value in (Outer(), Outer(steps=11), Outer(inner=Inner(rate=0.25)), Outer(names=("a",)))}
    assert len(hashes) == 4
    assert digest(Outer()) == digest(Outer())


def test_overrides() -> None:
    changed = override(Outer(), ["steps=3", "inner.rate=1e-3", "inner.kind=true story", 'names=["x", "y"]'])
    assert changed == Outer(steps=3, inner=Inner(rate=0.001, kind="true story"), names=("x", "y"))
    assert override(Outer(), []) == Outer()
    for wrong in ("steps", "stops=3", "inner.speed=1", "steps=many", "steps.more=1"):
        with pytest.raises(UsageError):
            override(Outer(), [wrong])


def test_wrong_records_and_settings_are_named(tmp_path: Path) -> None:
    assert parse(pretty_json(Outer()), Outer, "here") == Outer()
    with pytest.raises(DataError, match="in here"):
        parse(b'{"steps": "ten"}', Outer, "here")
    with pytest.raises(UsageError, match="speed"):
        convert({"speed": 1}, Outer, "table")
    with pytest.raises(MissingError):
        load_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = ")
    with pytest.raises(DataError, match=r"bad\.toml"):
        load_toml(tmp_path / "bad.toml")
    assert json_schema(Outer)["$defs"]["Outer"]["additionalProperties"] is False


def test_streams_go_by_seed_and_purpose() -> None:
    assert entropy(1, "a", 2) == entropy(1, "a", 2)
    assert len({entropy(1, "a", 2), entropy(2, "a", 2), entropy(1, "a", 3), entropy(1, "a2")}) == 4
    assert rng(5, "x").integers(1 << 30) == rng(5, "x").integers(1 << 30)
