"""What a WaveGlow is made of: its shapes, and the tensors that belong to them.

Prenger, Valle & Catanzaro 2019, *WaveGlow: a flow-based generative network for speech synthesis*.
The defaults are those of the published 256-channel model: 686 tensors with weight norm (g and v
apart), 470 without, 87.9 million parameters.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from models.spec import Model

Shapes = dict[str, tuple[int, ...]]


class WaveGlowSpec(Model):
    """Shapes of a WaveGlow, in the order in which audio goes through it."""

    mels: int = Field(80, ge=1, description="mel bands")
    window: int = Field(1024, ge=2, description="kernel of the transposed convolution, samples")
    hop: int = Field(256, ge=1, description="samples per mel frame")
    group: int = Field(8, ge=2, description="samples taken together as channels")
    flows: int = Field(12, ge=1)
    early_every: int = Field(4, ge=1, description="flows between two early outputs")
    early_size: int = Field(2, ge=2, multiple_of=2, description="channels put out early")
    layers: int = Field(8, ge=1, description="of each coupling's WaveNet; dilation 2**layer")
    channels: int = Field(256, ge=2, multiple_of=2)
    kernel: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> WaveGlowSpec:
        if self.group % 2 or min(self.widths) < 2:
            raise ValueError(f"channels of the flows {self.widths} must be even and never run out")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} has no centre")
        if self.hop % self.group or self.window % self.hop:
            raise ValueError(
                f"window {self.window}, hop {self.hop} and group {self.group} must divide evenly"
            )
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels that each flow works on."""
        early = (k // self.early_every * self.early_size for k in range(self.flows))
        return tuple(self.group - gone for gone in early)

    @property
    def reach(self) -> int:
        """Mel frames on either side of a frame that its samples may depend on."""
        groups = self.flows * (self.kernel - 1) // 2 * (2**self.layers - 1)
        per_frame = self.hop // self.group
        frames: int = -(-groups // per_frame) + self.window // self.hop - 1
        return frames

    def shapes(self) -> Shapes:
        """Every tensor by its published name, weight norm removed."""
        found: Shapes = {
            "upsample.weight": (self.mels, self.mels, self.window),
            "upsample.bias": (self.mels,),
        }
        for k, width in enumerate(self.widths):
            found[f"convinv.{k}.conv.weight"] = (width, width, 1)
            found |= {f"WN.{k}.{name}": s for name, s in self._coupling(width // 2).items()}
        return found

    def _coupling(self, half: int) -> Shapes:
        c, last = self.channels, self.layers - 1
        made = {"start": (c, half, 1), "end": (2 * half, c, 1)}
        made["cond_layer"] = (2 * c * self.layers, self.mels * self.group, 1)
        for i in range(self.layers):
            made[f"in_layers.{i}"] = (2 * c, c, self.kernel)
            made[f"res_skip_layers.{i}"] = (c if i == last else 2 * c, c, 1)
        return {
            f"{name}.{kind}": shape if kind == "weight" else shape[:1]
            for name, shape in made.items()
            for kind in ("weight", "bias")
        }
