"""A session's TOML, what wins over it, and that every key is explained."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from models.errors import SettingsError
from models.toml import as_toml
from realtime.settings import LiveSettings
from tools.cli import main, parser
from tools.live_settings import live_settings


def resolved(*words: object) -> LiveSettings:
    return live_settings(parser().parse_args(["live", *map(str, words)]))


@pytest.fixture
def session(tmp_path: Path) -> Path:
    path = tmp_path / "session.toml"
    path.write_text(
        'bundle = "b"\nout = "o"\n[playout]\ntarget_ms = 60\n[outlets]\nname = "ward-3"\n'
    )
    return path


def test_the_positional_is_a_bundle_or_a_session(session: Path, tmp_path: Path) -> None:
    assert resolved(session).bundle == Path("b")
    assert resolved(session).outlets.name == "ward-3"
    assert resolved(tmp_path, "--out", "o").bundle == tmp_path
    both = resolved(tmp_path, "--settings", session)
    assert (both.bundle, both.playout.target_ms) == (tmp_path, 60)
    # A folder may be called anything.
    (tmp_path / "odd.toml").mkdir()
    assert resolved(tmp_path / "odd.toml", "--out", "o").bundle == tmp_path / "odd.toml"


def test_the_command_line_wins(session: Path) -> None:
    words = [session, "--target-ms", "90", "--gain-db=-6", "--out", "other"]
    words += ["--set", "playout.headroom_ms=40", "--set", "stream.name=AMP 1"]
    words += ["--set", 'allow_missing=["LA1"]', "--outlets", "mel", "events"]
    settings = resolved(*words)
    assert settings.out == Path("other")
    assert (settings.playout.target_ms, settings.playout.headroom_ms) == (90, 40)
    assert settings.limiter.gain_db == -6
    assert settings.stream.name == "AMP 1"
    assert settings.allow_missing == ("LA1",)
    assert settings.outlets.streams == ("mel", "events")
    assert settings.outlets.name == "ward-3"
    assert resolved(session, "--outlets").outlets.streams == ()


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--set", "playout.targets=3"], "unknown key 'playout.targets'; expected one of ceiling"),
        (["--set", "playout"], "KEY=VALUE"),
        (["--set", "out.x=1"], "'out' is 'o'; expected a table"),
        (["--gain-db", "21"], "'limiter.gain_db' is 21"),
        (["--outlets", "sound"], "outlets.streams"),
        (["--settings", "other.toml"], "one TOML"),
    ],
)
def test_what_is_wrong_is_named(session: Path, words: list[str], match: str) -> None:
    with pytest.raises(SettingsError, match=match):
        resolved(session, *words)


def test_a_session_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        resolved(tmp_path / "none.toml")


def test_printed_settings_give_the_same_settings(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["live", str(session), "--seconds", "3", "--unit", "µV", "--print-settings"]
    assert main(words) == 0
    printed = tmp_path / "printed.toml"
    printed.write_text(capsys.readouterr().out)
    assert resolved(printed) == resolved(session, "--seconds", "3", "--unit", "µV")
    assert not (tmp_path / "o").exists()


def every_field(model: type[BaseModel], place: str = "") -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= every_field(inner, f"{place}{name}.")
        else:
            found[place + name] = field.description
    return found


def test_every_key_is_explained() -> None:
    assert [key for key, said in every_field(LiveSettings).items() if not said] == []


def test_every_key_is_printed() -> None:
    text = as_toml(LiveSettings(bundle="b", out="o"))
    keys = {line.lstrip("# ").partition(" =")[0] for line in text.splitlines()}
    assert {key.rpartition(".")[2] for key in every_field(LiveSettings)} <= keys


class Anything(BaseModel):
    text: str
    number: float
    whole: int
    yes: bool
    texts: tuple[str, ...]


@given(
    st.builds(
        Anything,
        text=st.text(st.characters(exclude_categories=["Cs"])),
        number=st.floats(allow_nan=False, allow_subnormal=False),
        whole=st.integers(-(2**63), 2**63 - 1),
        yes=st.booleans(),
        texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple),
    )
)
def test_any_value_survives_toml(settings: Anything) -> None:
    assert Anything.model_validate(tomllib.loads(as_toml(settings))) == settings
