"""Playout: the last stage, from hops of audio to the sound card.

`playout.py` is what the pipeline holds; `exchange.py` what it shares with the player
(`process.py`), which lets `engine.py` render and a sink of `sinks.py` take.
"""
