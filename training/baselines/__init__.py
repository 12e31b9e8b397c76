"""Baselines: what a decoder must beat, each fitted on training pieces alone.

envelopes.py      high-gamma windows about a frame, zero-phase or causal
least_squares.py  50 principal components, ordinary least squares: the frozen linear baseline
ridge.py          ridge regression, its penalty chosen on training data
swpd.py           the public baseline by its authors' own protocol
densenet.py       the densely connected 3-D network (imported when asked for: needs torch)
registry.py       all of them by name, behind one interface
"""

from training.baselines.envelopes import (
    BAND_HZ,
    CONTEXT_S,
    STOPS_HZ,
    WINDOW_S,
    Causal,
    ContextSpec,
    ZeroPhase,
    features,
    high_gamma,
    hop_features,
    windowed,
)
from training.baselines.least_squares import COMPONENTS, LinearBaseline
from training.baselines.registry import (
    BASELINES,
    BaselineSettings,
    Piece,
    Predictor,
    fit_baseline,
    fit_baselines,
    pieces_of,
    predict_all,
)
from training.baselines.ridge import Ridge, RidgeSettings
from training.baselines.swpd import (
    PAPER_BINS,
    PAPER_FOLDS,
    PAPER_HOP,
    SUB_01,
    PublicBaseline,
    paper_chance,
    paper_mels,
    paper_scores,
    public_baseline,
    read_public,
)

__all__ = [
    "BAND_HZ",
    "BASELINES",
    "COMPONENTS",
    "CONTEXT_S",
    "PAPER_BINS",
    "PAPER_FOLDS",
    "PAPER_HOP",
    "STOPS_HZ",
    "SUB_01",
    "WINDOW_S",
    "BaselineSettings",
    "Causal",
    "ContextSpec",
    "LinearBaseline",
    "Piece",
    "Predictor",
    "PublicBaseline",
    "Ridge",
    "RidgeSettings",
    "ZeroPhase",
    "features",
    "fit_baseline",
    "fit_baselines",
    "high_gamma",
    "hop_features",
    "paper_chance",
    "paper_mels",
    "paper_scores",
    "pieces_of",
    "predict_all",
    "public_baseline",
    "read_public",
    "windowed",
]
