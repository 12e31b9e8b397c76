"""When what is said, and the audio of the whole session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from models.errors import SettingsError, need
from realtime.recordings import Trial
from training import dutch
from training.patient.settings import PatientSettings
from training.speech import Utterance, synthesise

AUDIO_RATE = 48_000
AUDIO_CLOCK_HZ = 47_999.19
"""Measured rate of the sound card's clock in sub-01 of the public recordings (NOTES 1.2)."""

WORD_PACE_S, WORD_SHOWN_S, LONGEST_WORD_S = 3.0, 2.0, 1.5
_LEAD_IN_S = 1.0
_MARGIN_S = 0.2
# Of a quiet room; with it the speech/silence oracle scores what it does on published audio (0.86).
_ROOM_DB, _ROOM_CORNER_HZ = -66.0, 200.0


@dataclass(frozen=True)
class Placed:
    """An utterance in its session: `trial` is what the protocol knows, `onset_s` when it sounds."""

    utterance: Utterance
    onset_s: float
    trial: Trial


def schedule(
    settings: PatientSettings, speech: Sequence[Utterance] | None, voice: str = "nl"
) -> tuple[Placed, ...]:
    """Place utterances in the session.

    `words`: one per 3 s, sounding .55-.90 s after its cue. `sentences`: no cue and no pace.
    `mixed`: blocks of ten words and five sentences in turn.

    Parameters
    ----------
    speech : own utterances, used in random order; None lets espeak-ng say the built-in texts.

    Raises
    ------
    SettingsError
        If the session is paced and no utterance is short enough for the pace, if nothing fits, or
        if the speech is said before the session ends and `repeat_speech` is not set.
    """
    rng = np.random.default_rng([settings.seed, 1])
    words, sentences = _material(settings, speech, voice, rng)
    placed: list[Placed] = []
    now, end = _LEAD_IN_S, settings.minutes * 60
    for paced in _kinds(settings.session):
        utterance = next(words if paced else sentences, None)
        if utterance is None:
            # The end may stay silent for as long as a word takes.
            if end - now >= WORD_PACE_S:
                raise _spent(placed, now, settings)
            break
        item = _paced(utterance, now, rng) if paced else _unpaced(utterance, now, rng)
        now = now + WORD_PACE_S if paced else item.trial.onset_s + item.trial.duration_s
        if max(now, item.onset_s + utterance.seconds) > end - _MARGIN_S:
            break
        placed.append(item)
    if len(placed) < 2:
        raise SettingsError(
            f"only {len(placed)} utterances fit into {settings.minutes} minutes",
            "at least 2",
            "make the session longer or the utterances shorter",
        )
    return tuple(placed)


def _spent(placed: Sequence[Placed], now: float, settings: PatientSettings) -> SettingsError:
    """What to say when all speech was said before the session ended."""
    said = sum(item.utterance.seconds for item in placed)
    needed = said * (settings.minutes * 60 - _LEAD_IN_S) / max(now - _LEAD_IN_S, 1e-9)
    return SettingsError(
        f"{said:.1f} s of speech in {len(placed)} utterances last for {now / 60:.2f} minutes of "
        f"kind '{settings.session}'",
        f"about {needed:.0f} s for {settings.minutes:g} minutes, since speech said twice would be "
        "in training and in the held-out part",
        "give more speech or fewer minutes",
    )


def compose(placed: Sequence[Placed], seconds: float, seed: int) -> NDArray[np.float32]:
    """Audio of the session on the sound card's clock, `(samples,)`, with a quiet noise floor."""
    soxr = need("soxr", "formats")
    samples = round(seconds * AUDIO_CLOCK_HZ)
    audio = _room(samples, np.random.default_rng([seed, 2]))
    for item in placed:
        sound = soxr.resample(item.utterance.audio, item.utterance.rate, AUDIO_RATE)
        start = round(item.onset_s * AUDIO_CLOCK_HZ)
        stop = min(samples, start + len(sound))
        audio[start:stop] += sound[: stop - start]
    return np.clip(audio, -1, 1, out=audio)


def _room(samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Quiet noise that falls by 6 dB per octave above 200 Hz, `(samples,)`."""
    pole = np.exp(-2 * np.pi * _ROOM_CORNER_HZ / AUDIO_RATE)
    gain = np.sqrt(1 - pole * pole) * 10 ** (_ROOM_DB / 20)
    white = rng.standard_normal(samples, dtype=np.float32)
    coefficients = np.array([gain], np.float32), np.array([1, -pole], np.float32)
    room: NDArray[np.float32] = lfilter(*coefficients, white)
    return room


def _kinds(session: str) -> Iterator[bool]:
    """True for each paced word, False for each sentence, without end."""
    block = {"words": [True], "sentences": [False], "mixed": [True] * 10 + [False] * 5}[session]
    while True:
        yield from block


def _material(
    settings: PatientSettings,
    speech: Sequence[Utterance] | None,
    voice: str,
    rng: np.random.Generator,
) -> tuple[Iterator[Utterance], Iterator[Utterance]]:
    if speech is not None:
        short = [u for u in speech if u.seconds <= LONGEST_WORD_S]
        if settings.session != "sentences" and not short:
            raise SettingsError(
                f"none of the {len(speech)} utterances is shorter than {LONGEST_WORD_S} s",
                f"single words for a session of kind '{settings.session}'",
                "choose the session kind 'sentences'",
            )
        if settings.repeat_speech:
            return _cycled(short, rng), _cycled(speech, rng)
        # What is said as a word is not said again as a sentence.
        paced_too = settings.session == "mixed"
        long = [u for u in speech if not paced_too or u.seconds > LONGEST_WORD_S]
        return _once(short, rng), _once(long, rng)
    seconds = settings.minutes * 60
    paced = {"words": 1.0, "sentences": 0.0, "mixed": 1.0}[settings.session]
    wanted = int(seconds / WORD_PACE_S * paced) + 2
    limit = wanted if settings.repeat_speech else len(dutch.WORDS)
    texts = dutch.words(min(wanted, limit), rng)
    words = synthesise(texts, voice, settings.seed)
    count = 0 if settings.session == "words" else int(seconds / 2.5) + 2
    said = synthesise(dutch.sentences(count, rng), voice, settings.seed + 1) if count else []
    return iter(words), iter(said)


def _cycled(utterances: Sequence[Utterance], rng: np.random.Generator) -> Iterator[Utterance]:
    while utterances:
        for i in rng.permutation(len(utterances)):
            yield utterances[i]


def _once(utterances: Sequence[Utterance], rng: np.random.Generator) -> Iterator[Utterance]:
    for i in rng.permutation(len(utterances)):
        yield utterances[i]


def _paced(utterance: Utterance, now: float, rng: np.random.Generator) -> Placed:
    trial = Trial(now, WORD_SHOWN_S, utterance.text)
    return Placed(utterance, now + float(rng.uniform(0.55, 0.90)), trial)


def _unpaced(utterance: Utterance, now: float, rng: np.random.Generator) -> Placed:
    onset = now + _MARGIN_S + 0.3 + min(3.0, float(rng.exponential(0.8)))
    trial = Trial(onset - _MARGIN_S, utterance.seconds + 2 * _MARGIN_S, utterance.text)
    return Placed(utterance, onset, trial)
