"""Units of a stream's channels, read as the number of microvolts in one unit."""

from __future__ import annotations

from models.errors import MontageError

# Both code points of the micro sign (U+00B5 and U+03BC) fold to U+03BC in `str.casefold`.
_SPELLINGS: dict[float, tuple[str, ...]] = {
    1e6: ("v", "volt", "volts", "0"),
    1e3: ("mv", "millivolt", "millivolts", "-3"),
    1.0: ("uv", "μv", "microvolt", "microvolts", "uvolt", "uvolts", "μvolt", "μvolts", "-6"),
    1e-3: ("nv", "nanovolt", "nanovolts", "-9"),
}
_FACTORS = {text: factor for factor, texts in _SPELLINGS.items() for text in texts}


def microvolts_per_unit(text: str) -> float:
    """Microvolts in one unit of `text`: 1e6 for `volts`, 1 for `uV`, 1e-3 for `-9`.

    Accepts words, symbols (either micro sign) and powers of ten of a volt, in any case;
    `0` is a power of ten, so volts, as MNE writes it.

    Raises
    ------
    MontageError
        If the unit is empty or unknown: a guess could be wrong by a factor of a million.
    """
    factor = _FACTORS.get(text.strip().casefold())
    if factor is None:
        raise MontageError(
            f"the unit of the channels is {text!r}"
            if text.strip()
            else "the channels have no unit",
            "one of microvolts, uV, millivolts, mV, nanovolts, nV, volts, V, -6, -3, -9, 0",
            'state it in the settings, for example unit = "microvolts"',
        )
    return factor
