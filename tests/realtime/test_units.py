import pytest

from models.errors import MontageError
from realtime.units import microvolts_per_unit


@pytest.mark.parametrize(
    ("factor", "texts"),
    [
        (1.0, ["microvolts", "microvolt", "uV", "\u00b5V", "\u03bcV", "-6", " Microvolts "]),
        (1e6, ["volts", "Volt", "V", "0"]),
        (1e3, ["millivolts", "mV", "-3"]),
        (1e-3, ["nanovolts", "nV", "-9"]),
    ],
)
def test_spellings(factor: float, texts: list[str]) -> None:
    assert [microvolts_per_unit(text) for text in texts] == [factor] * len(texts)


@pytest.mark.parametrize("text", ["", "  ", "none", "counts", "6", "pV", "uV/bit", "-12"])
def test_unknown_is_refused_with_the_setting_to_use(text: str) -> None:
    with pytest.raises(MontageError, match=r"unit = .*microvolts") as err:
        microvolts_per_unit(text)
    assert "no unit" in str(err.value) if not text.strip() else text in str(err.value)
