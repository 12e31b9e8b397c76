"""The published equations of WaveGlow, written out in numpy in double precision.

After Prenger et al. 2019, section 2: squeeze to vectors of eight, and per flow an invertible 1x1
convolution and an affine coupling whose network is a gated, dilated, non-causal WaveNet conditioned
on the upsampled mel. Loops over taps and layers; nothing of it is shared with what it checks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Weights = dict[str, NDArray[np.float32]]


def conv(x: Doubles, weight: Doubles, bias: Doubles | None, dilation: int = 1) -> Doubles:
    """`(in, time) -> (out, time)`, zeros outside."""
    taps = weight.shape[2]
    reach = dilation * (taps - 1) // 2
    padded = np.pad(x, ((0, 0), (reach, reach)))
    out = np.zeros((weight.shape[0], x.shape[1]))
    for tap in range(taps):
        out += weight[:, :, tap] @ padded[:, tap * dilation : tap * dilation + x.shape[1]]
    return out if bias is None else out + bias[:, None]


def upsampled(mel: Doubles, weight: Doubles, bias: Doubles, hop: int) -> Doubles:
    """`(mels, frames) -> (mels, frames * hop)`: every frame leaves its kernel behind it."""
    frames, taps = mel.shape[1], weight.shape[2]
    out = np.zeros((weight.shape[1], frames * hop + taps))
    for frame in range(frames):
        out[:, frame * hop : frame * hop + taps] += np.einsum("i,iot->ot", mel[:, frame], weight)
    return out[:, : frames * hop] + bias[:, None]


class Reference:
    """Both directions for given weights."""

    def __init__(self, weights: Weights, group: int, early_every: int, early: int, hop: int):
        self.w = {name: value.astype(np.float64) for name, value in weights.items()}
        self.group, self.every, self.early, self.hop = group, early_every, early, hop
        self.flows = sum(name.startswith("convinv") for name in weights)
        self.layers = sum(n.startswith("WN.0.in_layers") and "weight" in n for n in weights)

    def condition(self, mel: Doubles) -> Doubles:
        fine = upsampled(mel, self.w["upsample.weight"], self.w["upsample.bias"], self.hop)
        rows = []
        for band in fine:
            rows += [band[place :: self.group] for place in range(self.group)]
        return np.array(rows)

    def coupling(self, k: int, x: Doubles, condition: Doubles) -> tuple[Doubles, Doubles]:
        def get(name: str) -> tuple[Doubles, Doubles]:
            return self.w[f"WN.{k}.{name}.weight"], self.w[f"WN.{k}.{name}.bias"]

        x = conv(x, *get("start"))
        width, output = len(x), np.zeros_like(x)
        all_conditions = conv(condition, *get("cond_layer"))
        for i in range(self.layers):
            at = 2 * width * i
            z = conv(x, *get(f"in_layers.{i}"), 2**i) + all_conditions[at : at + 2 * width]
            gated = np.tanh(z[:width]) / (1 + np.exp(-z[width:]))
            y = conv(gated, *get(f"res_skip_layers.{i}"))
            if i < self.layers - 1:
                x = x + y[:width]
                output = output + y[width:]
            else:
                output = output + y
        both = conv(output, *get("end"))
        half = len(both) // 2
        return both[:half], both[half:]

    def synthesis(self, mel: Doubles, z: Doubles) -> Doubles:
        """Noise `(group, time)` to audio."""
        condition = self.condition(mel)
        early_count = (self.flows - 1) // self.every
        at = early_count * self.early
        x = z[at:]
        for k in range(self.flows - 1, -1, -1):
            half = len(x) // 2
            b, log_s = self.coupling(k, x[:half], condition)
            x = np.concatenate([x[:half], (x[half:] - b) / np.exp(log_s)])
            x = np.linalg.solve(self.w[f"convinv.{k}.conv.weight"][:, :, 0], x)
            if k % self.every == 0 and k > 0:
                x = np.concatenate([z[at - self.early : at], x])
                at -= self.early
        return x.T.reshape(-1)

    def analysis(self, mel: Doubles, audio: Doubles) -> tuple[Doubles, float]:
        """Audio to noise, and the log determinant of the whole map."""
        condition = self.condition(mel)[:, : len(audio) // self.group]
        x, done, log_det = audio.reshape(-1, self.group).T, [], 0.0
        for k in range(self.flows):
            if k % self.every == 0 and k > 0:
                done.append(x[: self.early])
                x = x[self.early :]
            w = self.w[f"convinv.{k}.conv.weight"][:, :, 0]
            log_det += x.shape[1] * np.linalg.slogdet(w)[1]
            x = w @ x
            half = len(x) // 2
            b, log_s = self.coupling(k, x[:half], condition)
            log_det += float(log_s.sum())
            x = np.concatenate([x[:half], np.exp(log_s) * x[half:] + b])
        return np.concatenate([*done, x]), log_det
