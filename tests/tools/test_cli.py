"""Bad input of any kind: one clear line, exit code not 0, nothing half-written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.cli import VERBS, main, parser


def failed(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """Run a command that must fail; its one line."""
    assert main([str(word) for word in argv]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "Traceback" not in lines[0]
    return lines[0]


def test_every_verb_has_help_with_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        with pytest.raises(SystemExit) as ended:
            parser().parse_args([verb, "--help"])
        assert ended.value.code == 0
        said = capsys.readouterr().out
        assert said.startswith(f"usage: seegvox {verb}")
        if verb not in ("simulate", "inspect", "doctor", "devices"):
            assert "default" in said


def test_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = failed(capsys, "live", tmp_path / "none", "--out", tmp_path / "run")
    assert "holds no SHA256SUMS; expected a bundle folder" in line


def test_a_flipped_byte(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "b"))
    raw = bytearray((bundle / "encoder_step.onnx").read_bytes())
    raw[1000] ^= 16
    (bundle / "encoder_step.onnx").write_bytes(raw)
    for verb in (["live", bundle, "--out", tmp_path / "run"], ["bench", "hop", bundle]):
        assert "SHA-256" in failed(capsys, *verb)
    assert not (tmp_path / "run").exists()


def test_an_unknown_key(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "session.toml"
    toml.write_text('vocoder = "phase"\n[playout]\ntarget = 40\n')
    line = failed(capsys, "live", tiny_bundle, "--out", tmp_path / "r", "--settings", toml)
    assert "unknown key 'playout.target'" in line
    assert "target_ms" in line
    toml.write_text("[optimiser]\nepochs = 3\n")
    line = failed(capsys, "train", tmp_path, "--out", tmp_path / "e", "--settings", toml)
    assert "unknown key 'optimiser.epochs'; expected one of averaging, encoder" in line


@pytest.mark.parametrize(
    ("text", "said"), [("vocoder = ", "TOML"), ("vocoder = 3", "'vocoder' is 3")]
)
def test_a_broken_toml(
    tiny_bundle: Path, tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    toml = tmp_path / "session.toml"
    toml.write_text(text)
    line = failed(capsys, "live", tiny_bundle, "--out", tmp_path / "r", "--settings", toml)
    assert said in line


def test_missing_settings_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = failed(capsys, "live", "--settings", tmp_path / "none.toml")
    assert "No such file" in line


def test_missing_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'out' is missing" in failed(capsys, "live", tmp_path)


def test_a_missing_extra(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    line = failed(capsys, "bench", "step", tiny_bundle)
    assert "'torch' is not installed" in line
    assert "pip install 'seegvox[train]'" in line


def test_a_truncated_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.training.recordings import tiny_recording

    nwb = tiny_recording(tmp_path)
    whole = nwb.read_bytes()
    nwb.write_bytes(whole[: len(whole) // 2])
    line = failed(capsys, "train", nwb, "--out", tmp_path / "experiment")
    assert str(nwb) in line
    assert not (tmp_path / "experiment").exists()


def test_busy_outputs(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "file").touch()
    for verb in ("train", "export"):
        line = failed(capsys, verb, tmp_path, "--out", tmp_path / "busy")
        assert "exists already" in line
    assert sorted(p.name for p in (tmp_path / "busy").iterdir()) == ["file"]


def test_an_option_wins_over_the_file(tmp_path: Path) -> None:
    from tools.live import live_settings

    toml = tmp_path / "session.toml"
    toml.write_text('bundle = "b"\nout = "o"\nvocoder = "rtisi"\n[playout]\ntarget_ms = 60\n')
    args = parser().parse_args(["live", "--settings", str(toml), "--target-ms", "90"])
    settings = live_settings(args)
    assert (settings.vocoder, settings.playout.target_ms) == ("rtisi", 90)
    assert settings.bundle == Path("b")


_WITHOUT_DEVICES = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("onnxruntime", "pylsl", "sounddevice", "torch"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
import tools.cli
top = tools.cli.parser()
for verb in ("doctor", "inspect", "devices", "streams"):
    assert callable(top.parse_args([verb, *(["b"] if verb == "inspect" else [])]).run)
import tools.doctor
try:
    import onnxruntime
except ImportError:
    print("parsed")
"""


def test_the_command_starts_without_its_heavy_packages() -> None:
    """`seegvox doctor` must run where ONNX Runtime, liblsl or PortAudio is what is missing."""
    import subprocess
    import sys

    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", _WITHOUT_DEVICES]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout.strip()) == (0, "parsed"), ended.stderr
