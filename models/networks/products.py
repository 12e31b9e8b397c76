"""Every large layer of a step as a product `x @ weight`, the form that int8 weights come in.

ONNX Runtime has no int8 GRU, and a linear layer's operator keeps its weight transposed; a product
with a constant `(in, out)` matrix is what it quantises, and in float32 costs what they do.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.folded import StepGru
from models.networks.network import SpeechNetwork


class Product(nn.Module):
    """`nn.Linear` with a weight `(in, out)`."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = _matrix(linear.weight)
        self.bias = None if linear.bias is None else linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """`(..., in) -> (..., out)`."""
        y = x @ self.weight
        return y if self.bias is None else y + self.bias


class ProductGru(nn.Module):
    """One tick of a one-layer GRU, `(1, 1, in)`: torch.nn.GRU's equations as two products.

    The two biases of the reset and the update gate are always added, so they are summed here; the
    new gate's stay apart, since the reset gate scales one of them.
    """

    def __init__(self, gru: nn.GRU) -> None:
        super().__init__()
        self.size = gru.hidden_size
        weights: dict[str, Tensor] = gru.state_dict()
        self.input = _matrix(weights["weight_ih_l0"])
        self.recurrent = _matrix(weights["weight_hh_l0"])
        gates, new = torch.tensor_split(weights["bias_hh_l0"], [2 * self.size])
        shared = torch.cat([gates, torch.zeros_like(new)])
        self.bias = nn.Parameter(weights["bias_ih_l0"] + shared, requires_grad=False)
        self.new_bias = nn.Parameter(new.clone(), requires_grad=False)

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Output and next state, which are the same."""
        two = 2 * self.size
        gates, carried = x @ self.input + self.bias, hidden @ self.recurrent
        switches = torch.sigmoid(gates[..., :two] + carried[..., :two])
        reset, update = switches[..., : self.size], switches[..., self.size :]
        new = torch.tanh(gates[..., two:] + reset * (carried[..., two:] + self.new_bias))
        following = new + update * (hidden - new)
        return following, following


def as_products(folded: SpeechNetwork) -> SpeechNetwork:
    """The same folded network, in place, with its GRUs and linear layers as products."""
    grus = folded.encoder.grus
    for i, gru in enumerate(grus):
        assert isinstance(gru, StepGru)
        grus[i] = ProductGru(gru.gru)
    folded.decoder.gru = ProductGru(folded.decoder.gru)  # type: ignore[assignment]
    for module in list(folded.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, Product(child))
    return folded


def _matrix(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().t().contiguous(), requires_grad=False)
