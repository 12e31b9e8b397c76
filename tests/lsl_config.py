"""The text of a liblsl configuration of this machine alone. Imports nothing: it comes first."""

from __future__ import annotations


def lsl_config(session: str) -> str:
    """A session that nobody else shares; ends in `[lab]`, for whoever has more to say."""
    return f"""[log]
level=-2
[ports]
IPv6=disable
PortRange=128
[multicast]
ResolveScope=machine
[lab]
SessionID={session}
"""
