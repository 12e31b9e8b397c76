"""What the live service makes of faults: the figures of the policy table, all of them settings."""

from __future__ import annotations

from pydantic import Field

from models.spec import Model


class Policy(Model):
    """Limits beyond which a fault is heard, and times after which it is over."""

    rewarm_s: float = Field(
        0.4,
        ge=0.2,
        description="muted after a cold start in mid-session, seconds; features are then within "
        "0.05 standard deviations of those of a stream without a break",
    )
    bridge_ms: float = Field(
        50.0, ge=0.0, le=200.0, description="a longer loss of samples is a cold start"
    )
    overdue_ms: float = Field(
        50.0, ge=10.0, description="degraded without data for a burst and this long"
    )
    stall_ms: float = Field(
        80.0, ge=20.0, le=1000.0, description="muted without data for a burst and this long"
    )
    lost_s: float = Field(
        2.0, ge=0.2, description="without data for this long, the stream is looked for anew"
    )
    skip_s: float = Field(
        3.0,
        ge=0.5,
        description="older data are skipped; younger are caught up with, so that no state is lost",
    )
    masked_limit: float = Field(
        0.2, gt=0.0, le=1.0, description="muted above this share of masked contacts"
    )
