"""The verb `devices` lists outputs, or says plainly that there are none."""

import argparse

import pytest

from models.errors import AudioError
from realtime import devices as outputs
from tests.realtime.test_playout import fake_portaudio
from tools import devices


def run_verb() -> int:
    parser = argparse.ArgumentParser()
    devices.add_parser(parser.add_subparsers())
    args = parser.parse_args(["devices"])
    return args.run(args)


def test_it_lists_with_the_default_marked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outputs, "portaudio", lambda: fake_portaudio("speaker", "headphones"))
    assert run_verb() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["0", "48000", "2", "speaker", "(ALSA)"]
    assert lines[2].split() == ["*", "1", "48000", "2", "headphones", "(ALSA)"]


def test_it_says_that_there_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outputs, "portaudio", lambda: fake_portaudio())
    assert run_verb() == 1
    assert "no sound device" in capsys.readouterr().out


def test_it_says_that_portaudio_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sounddevice", None)
    with pytest.raises(AudioError, match="PortAudio cannot be loaded"):
        run_verb()
