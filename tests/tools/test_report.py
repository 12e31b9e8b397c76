import base64
import io
import re
import wave
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser

import numpy as np
import pytest

from models.errors import BusyOutputError, MissingExtraError
from models.hops import encoder_stride
from models.spec import BundleSpec
from realtime.latency import stages_ms, summary_ms
from tests.synthetic_run import synthetic_mel, synthetic_scores, write_synthetic_run
from tools import report, report_plots
from tools.report import ReportContent, write_report

SPEC = BundleSpec(
    name="tiny <b>", contacts=("LA1",), fs_hz=Fraction(1024), stride=encoder_stride(Fraction(1024))
)
HOPS = 3400


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    run = write_synthetic_run(tmp_path_factory.mktemp("synthetic") / "run", HOPS)
    return ReportContent(
        title="synthetic & <script>alert(1)</script>",
        run=run,
        true_mel=synthetic_mel(HOPS, 1),
        true_audio=run.audio[::-1].copy(),
        decoded_audio=run.audio,
        scores=synthetic_scores(),
        live_scores=None,
        spec=SPEC,
        notes=["<img src=x>"],
    )


@pytest.fixture(scope="module")
def page(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, content)
    return path.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """Collects tags with attributes, and complains of tags left open."""

    VOID = ("meta", "br", "img", "link", "input", "hr")

    def __init__(self):
        super().__init__()
        self.tags, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def read(page):
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    return reader.tags


def test_page_needs_nothing_else(page, read):
    # Namespaces are names, not addresses that are fetched.
    addresses = set(re.findall(r"https?://[^\"'\s<)]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    for tag, attributes in read:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href", "xlink:href"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))
    assert len(page) < 8e6


def test_text_is_escaped(page):
    assert "<script" not in page and "<img src=x>" not in page and "<null>" not in page
    assert "synthetic &amp; &lt;script&gt;" in page and "&lt;null&gt; &amp; nowhere" in page


def test_page_can_be_read_without_seeing_it(read):
    assert dict(read)["html"]["lang"] == "en"
    figures = [attributes for tag, attributes in read if tag == "svg"]
    assert len(figures) == 4
    assert all(f["role"] == "img" and f["aria-label"] for f in figures)
    heads = [attributes for tag, attributes in read if tag == "th"]
    assert heads and all(h.get("scope") in ("col", "row") for h in heads)
    assert all(a["aria-label"] for tag, a in read if tag == "audio")


def test_ids_are_unique_and_every_reference_has_its_target(page, read):
    ids = [attributes["id"] for _, attributes in read if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', page))
    assert used and {a or b for a, b in used} <= set(ids)


def test_players_hold_the_excerpt(read, content):
    players = [attributes["src"] for tag, attributes in read if tag == "audio"]
    start = report.excerpt_start(content, report.EXCERPT_S)
    for source, whole in zip(players, (content.true_audio, content.decoded_audio), strict=True):
        with wave.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as file:
            assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
            heard = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
        wanted = whole[start * 240 :][: len(heard)]
        assert len(heard) == report.EXCERPT_S * 16_000
        # Half a step of 16 bit.
        np.testing.assert_allclose(heard, wanted, atol=0.51 / 32767)


def test_table_gives_the_measured_percentiles(page, content):
    stages = stages_ms(content.run.hops, content.run.dac)
    for stage in ("transport", "decoder", "hop_compute", "end_to_end"):
        row = re.search(rf'<th scope="row">{stage.replace("_", " ")}</th>(.*?)</tr>', page)[1]
        cells = re.findall(r"<td>([^<]*)</td>", row)
        assert cells[:5] == [f"{value:.3f}" for value in summary_ms(stages[stage]).values()]
    late = int(content.run.hops["late"].sum())
    compute = re.search(r'<th scope="row">hop compute</th>(.*?)</tr>', page)[1]
    assert late > 0 and compute.endswith(f"<td>{late}</td>")


def test_statements_are_there(page):
    assert report.RESEARCH_USE in page and report.SIMULATED in page
    assert "26.2" in page  # the look-ahead that the run recorded
    assert "sees 200 ms of future" in page and "95 % chance" in page


def test_neither_truth_nor_scores_nor_playout_are_needed(content):
    run = replace(content.run, dac=np.full(HOPS, np.nan), about={}, events=[])
    bare = replace(content, run=run, true_mel=None, true_audio=None, scores=None, notes=[])
    text = report.render(bare)
    assert text.count("<audio") == 1 and "not known for this run" in text
    assert "No scores were given" in text and "did not record it" in text


def test_a_run_without_hops_has_a_page(content):
    run = content.run
    empty = replace(
        run, hops=run.hops[:0], mel=run.mel[:0], audio=run.audio[:0], dac=run.dac[:0], events=[]
    )
    text = report.render(replace(content, run=empty, decoded_audio=run.audio[:0]))
    assert "No hop was decoded" in text and "No hop was timed" in text


def test_an_existing_report_is_kept(content, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(BusyOutputError):
        write_report(path, content)
    assert path.read_text() == "mine"


def test_without_matplotlib_it_names_the_extra_and_leaves_nothing(content, tmp_path, monkeypatch):
    import sys

    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match="report"):
        write_report(tmp_path / "report.html", content)
    assert list(tmp_path.iterdir()) == []


def test_decoded_mel_is_drawn_where_it_belongs(content, monkeypatch):
    drawn = []
    monkeypatch.setattr(report, "mel_figure", lambda panels, start: drawn.append(panels))
    monkeypatch.setattr(report, "inline_svg", lambda *a: "")
    ahead = replace(content, spec=SPEC.model_copy(update={"target_lookahead": 4}))
    report._spectrogram(ahead, HOPS - 10, HOPS, "x")
    np.testing.assert_array_equal(drawn[0]["decoded"][:6], content.run.mel[-6:])
    assert np.isnan(drawn[0]["decoded"][6:]).all()
    np.testing.assert_array_equal(drawn[0]["true"], content.true_mel[-10:])


def test_busiest_window_is_where_the_level_moves():
    mel = np.full((400, 80), -11.5, np.float32)
    mel[300:320] = -4
    start = report.busiest(mel, 50)
    assert start <= 300 and start + 50 >= 320
    assert report.busiest(mel, 400) == 0


# --- figures that the benchmark uses too --------------------------------------------------------


def test_spectrograms_share_time_and_colours():
    panels = {"true": synthetic_mel(200, 0), "decoded": synthetic_mel(200, 1) + 1}
    figure = report_plots.mel_figure(panels, start_s=3.0)
    images = [axis.images[0] for axis in figure.axes if axis.images]
    assert [list(image.get_extent()[:2]) for image in images] == [[3.0, 6.0]] * 2
    assert images[0].get_clim() == images[1].get_clim()


def test_band_centres_rise_to_the_top_of_the_scale():
    centres = report_plots.band_centres_hz()
    assert len(centres) == 80 and (np.diff(centres) > 0).all()
    # Below 1 kHz Slaney's scale is linear: equal steps.
    np.testing.assert_allclose(np.diff(centres[:20]), centres[0])
    assert 7500 < centres[-1] < 8000


def test_latency_figure_bears_unknown_stages_and_one_hop():
    stages = {"encoder": np.array([1.0]), "playout": np.array([np.nan])}
    figure = report_plots.latency_figure(stages)
    above, below = figure.axes
    assert {text.get_text() for text in above.texts} == {"encoder", "late over 15 ms"}
    assert [t.get_text() for t in below.get_legend().get_texts()] == ["encoder", "late over 15 ms"]


def test_windows_keep_the_slowest_hop():
    ms = np.ones(10_000)
    ms[7777] = 30.0
    time_s, median, top = report_plots._windows(ms, 0.015)
    assert top.max() == 30 and (median == 1).all()
    assert time_s[np.argmax(top)] == pytest.approx(7777 * 0.015, abs=150 / 240)


def test_the_path_adds_up_where_all_hops_are_alike():
    alike = {
        "front_end": 0.2,
        "encoder": 1.0,
        "decoder": 2.0,
        "vocoder": 0.4,
        "limiter": 0.1,
        "hop_compute": 5.0,
    }
    stages = {k: np.full(9, v) for k, v in {**alike, "transport": 10.0, "playout": 40.0}.items()}
    pieces = report_plots.median_path_ms(stages)
    assert list(pieces)[:2] == ["transport", "waiting"]
    assert sum(pieces.values()) == pytest.approx(55.0)
