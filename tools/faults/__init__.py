"""Faults for a stream of samples: what goes wrong between an amplifier and its reader.

A plan (`plan.FaultPlan`, one TOML, seeded) turns a clean source into scheduled commands
(`inject.inject`: push, close, open, each with its due time) and a list of what was injected.
`outlet.play` carries the commands out on a real LSL outlet; nothing else here knows LSL.
"""
