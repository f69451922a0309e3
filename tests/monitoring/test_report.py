"""The report holds every part, of whatever a run has left, in one page that fetches nothing."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from config import make_config
from errors import UserError
from kinds.audio.files import write_wav
from kinds.audio.spectrograms import spectrogram_image
from monitoring.image_files import encoded
from monitoring.report import make_report
from monitoring.report.__main__ import main
from monitoring.report.charts import Chart, Series, nice_ticks, render_chart, short_number, thin
from monitoring.report.checks import BAD_NEWS, GOOD, checklist
from monitoring.report.data import health_segments, load_clips, load_run, spread
from monitoring.report.overview import phase_bands
from monitoring.report.words import commands, facts

PAIRS = 16
VOID = {"meta", "img", "br", "link"}


def make_run(folder, epochs=6, samples=True, finished=True, **options):
    """A folder as a run leaves it: noise from epoch 3 on, the discriminator winning towards the end."""
    folder.mkdir(parents=True)
    config = make_config({"epochs": epochs, "pure_gan_mode": 0.25, "gan_curriculum_start_epoch": 3} | options)
    (folder / "config.yaml").write_text(config.to_yaml())
    about = {"dataset": "music & more", "train_pairs": PAIRS, "val_pairs": 4, "length": 4.0, "unit": "s"}
    about |= {"identity": "mel-1"}
    about |= {"generator_parameters": 15_500_000, "discriminator_parameters": 3_800_000, "world": 2, "device": "cpu"}
    (folder / "about.json").write_text(json.dumps(about | {"global_batch": 4, "torch": "2.13"}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in made_up_lines(epochs)))
    if samples:
        write_samples(folder / "samples", ["real", "round_trip", *(f"epoch_{e:04d}" for e in range(1, epochs + 1))])
    if finished:
        (folder / "generator.safetensors").write_bytes(b"weights")
    return folder


def made_up_lines(epochs):
    for step in range(1, epochs * 4 + 1):
        epoch = (step - 1) // 4 + 1
        alpha = min(1.0, 0.25 * max(0, epoch - 2))
        line = {"step": step, "epoch": epoch, "samples_seen": 4 * step, "alpha": alpha}
        line |= {"phase": "music" if alpha == 0 else "noise" if alpha == 1 else "transition", "pretrain_phase": 0}
        state = "balanced" if step < 16 else "discriminator too strong"
        line |= {"health": {state: f"D accuracy <0.{step}>"}, "loss/d": 0.6, "loss/g_adv": 0.9, "loss/g_total": 1.2}
        line |= {"d/real_prob": 0.6, "d/fake_prob": 0.4, "d/accuracy": 0.7, "d/pair_accuracy": 0.75, "lr/g": 1e-4}
        line |= {"lr/d": 5e-5, "weight/gan": 0.15, "weight/recon": 1 - alpha, "grad_norm/g": 0.5, "grad_norm/d": 0.2}
        line |= {"latents/fake_std": 0.9, "latents/real_std": 1.0, "skipped/g": 0.0, "skipped/d": 0.0}
        line["time"] = {"samples_per_s": 50.0}
        if step % 4 == 0:
            line |= {"val/current": 0.5 + alpha, "val/clean": 0.5, "val/best": 0.5, "val/since_best": float(epoch - 1)}
            line |= {"diversity/ratio": 0.8, "diversity/nearest_train": 1.1, "val/d_accuracy": 0.7}
        yield line


def write_samples(home, stems):
    home.mkdir()
    tone = 0.5 * np.sin(np.arange(24000) / 20).astype(np.float32)
    picture = encoded(spectrogram_image(tone, 24000))
    for stem in stems:
        for k in range(2):
            write_wav(home / f"{stem}_{k}.wav", tone, 24000)
            (home / f"{stem}_{k}.png").write_bytes(picture)


class Page(HTMLParser):
    """Text by heading, tags in balance, and every address that a browser would fetch."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sections, self.urls, self.counts, self.heading = [], {}, [], {}, ""
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.urls += [value for name, value in attributes if name in ("src", "href", "poster", "data", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "h2":
            self.heading = data
        self.sections[self.heading] = self.sections.get(self.heading, "") + data + "\n"


def page_of(*folders, output):
    text = make_report(folders, output).read_text(encoding="utf-8")
    return Page(text), text


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "first run")


@pytest.fixture(scope="module")
def report(run_folder):
    return page_of(run_folder, output=run_folder / "report.html")


def test_all_parts_are_there(report):
    page, _ = report
    parts = ["What was trained", "Checks", "Metrics", "Health", "Samples", "Commands"]
    assert [name for name in page.sections if name in parts] == parts
    titles = (
        "Curriculum",
        "Losses of both networks",
        "Probability of being real",
        "Accuracy of D",
        "Learning rates",
        "Weights",
    )
    for title in (*titles, "Gradient norms", "Diversity"):
        assert title in page.sections["Metrics"]
    for label in ("random guess", "undecided", "music", "transition", "noise"):
        assert label in page.sections["Metrics"]
    assert "music & more: 16 training and 4 validation pairs of 4 s" in page.sections["What was trained"]
    assert "15.50 M parameters" in page.sections["What was trained"]
    assert "epoch 4.0 to 6.0" in page.sections["Health"] and "lower --disc_lr" in page.sections["Health"].lower()


def test_it_fetches_nothing(report):
    page, text = report
    assert page.urls and all(
        url.startswith(("data:image/jpeg;base64,", "data:audio/mpeg;base64,")) for url in page.urls
    )
    without_data = re.sub(r"data:[^\"]*", "", text)
    assert not re.search(r"https?://|//\w|@import|url\(|<script|<link", without_data)


def test_real_clips_stand_before_those_of_every_epoch(report):
    page, _ = report
    titles = [line for line in page.sections["Samples"].splitlines() if line.strip()][1:]
    assert titles == ["real", "real, through the codec", *(f"epoch {e}" for e in range(1, 7))]
    assert page.counts["audio"] == page.counts["img"] == 2 * 8


def test_the_size_is_bounded(tmp_path):
    """Ten seconds of sound a clip, six epochs, a few hundred points a curve: however long the run."""
    folder = make_run(tmp_path / "long", epochs=500, samples=False)
    write_samples(folder / "samples", [f"epoch_{e:04d}" for e in range(0, 500, 25)])
    page, text = page_of(folder, output=tmp_path / "long.html")
    assert page.counts["img"] == 12
    assert len(text) < 1_000_000
    assert [clip.epoch for clip in load_clips(folder)[::2]] == [0, 100, 200, 275, 375, 475]


def test_several_runs_are_laid_over_each_other(run_folder, tmp_path):
    other = make_run(tmp_path / "second", gan_loss="rpgan", lr=3e-4)
    page, _ = page_of(run_folder, other, output=tmp_path / "both.html")
    figures = page.sections["Metrics"]
    assert "first run: D\n" in figures and "second: D\n" in figures and "pairs ranked correctly" in figures
    assert figures.count("epochs") == 10  # one chart each, not one for each run
    assert page.sections["Samples"].count("epoch 6") == 2 and "epoch 5" not in page.sections["Samples"]
    apart = page.sections["Differences"].split("\n\n")[0].splitlines()[1:]
    results = ["best validation", "diversity", "nearest training clip", "discriminator loss", "health at the end"]
    assert apart[:8] == ["run", "lr", "gan_loss", *results]
    assert apart[8:16] == ["first run", "0.0001", "bce", "0.5", "0.8", "1.1", "0.6", "discriminator too strong"]
    assert apart[16:19] == ["second", "0.0003", "rpgan"]
    assert "0.0003 (G)" in page.sections["What was trained"] and "0.0001 (G)" in page.sections["What was trained"]


def test_runs_of_one_name_are_kept_apart(tmp_path):
    folders = [make_run(tmp_path / place / "run", samples=False) for place in "ab"]
    page, _ = page_of(*folders, output=tmp_path / "both.html")
    assert str(folders[0]) in page.sections["What was trained"] and str(folders[1]) in page.sections["What was trained"]


@pytest.mark.parametrize("left", ["", '{"step": 1}\n', '{"step": 1, "loss/d": "nan", "alpha": 0.0}\n{"ste', "[]\n3\n"])
def test_a_broken_run_has_a_report(tmp_path, left):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text(left)
    page, _ = page_of(tmp_path / "run", output=tmp_path / "report.html")
    assert page.sections["Samples"].endswith("No samples were written (see --sample_every).\n")


def test_half_a_sample_is_left_out(tmp_path):
    folder = make_run(tmp_path / "run", epochs=2)
    (folder / "samples" / "epoch_0001_0.png").unlink()
    (folder / "samples" / "epoch_0002_1.wav").write_bytes(b"RIFF")
    assert [(clip.epoch, clip.number) for clip in load_clips(folder)][4:] == [(1, 1), (2, 0)]


def test_names_cannot_break_the_page(tmp_path):
    folder = make_run(tmp_path / "<b>&'\"", samples=False, dataset_folder="<script>")
    page, text = page_of(folder, output=tmp_path / "report.html")
    assert "<b>&'\"" in page.sections[""] and "<script" not in text


def test_the_checklist_says_what_went_well_and_what_did_not(run_folder):
    found = {finding.text: finding.kind for finding in checklist(load_run(run_folder))}

    def kind_of(start):
        (kind,) = [kind for text, kind in found.items() if text.startswith(start)]
        return kind

    assert kind_of("The run is complete: 6 of 6 epochs, 24 steps, 50 samples per second") == GOOD
    assert kind_of("Discriminator too strong for 2.0 epochs, to the end: D accuracy <0.24>. Advice: l") == BAD_NEWS
    assert kind_of("The networks were balanced or in equilibrium for 65% of the time") == "wait"
    assert kind_of("The curriculum reached its ceiling, alpha 1.00, in epoch 5.2") == GOOD
    assert kind_of("Best validation loss of the noise phase: 0.5000, 5 validations ago") == "wait"
    assert kind_of("Generated clips differ from each other 0.80 times") == GOOD
    assert kind_of("The nearest training clip is 1.10 times as far away") == GOOD
    assert kind_of("The discriminator is as good on held-out (0.70)") == GOOD
    assert kind_of("Every update was finite") == GOOD


def test_commands_resume_and_repeat(tmp_path):
    unfinished = load_run(make_run(tmp_path / "my run", samples=False, finished=False, resume="auto"))
    shown = dict(commands(unfinished))
    start = "torchrun --standalone --nproc_per_node 2 train_simple_ddp.py"
    assert shown["resume"] == f"{start} --resume '{tmp_path}/my run/last.pt'"
    where = f"'{tmp_path}/my run/config.yaml' --resume auto --checkpoint_dir '{tmp_path}/my run_again'"
    assert shown["repeat"] == f"{start} --config {where}"
    finished = load_run(make_run(tmp_path / "run", samples=False))
    assert dict(commands(finished))["resume for longer"].endswith("--epochs 12")
    del finished.about["world"]
    assert dict(commands(finished))["repeat"].startswith("python train_simple_ddp.py --world_size 1 --config")


def test_facts_name_options_and_their_defaults(run_folder):
    shown = dict(facts(load_run(run_folder)))
    assert shown["objective"] == "bce, weight 0.15, fading: off"
    assert shown["optimizer"] == "adamw, learning rate 0.0001 (G) and 5e-05 (D), constant"
    assert shown["curriculum"] == "noise from epoch 3 on, 0.25 per epoch up to 1"
    assert "distillation" not in shown


@pytest.mark.parametrize("guidance, words", [(1.0, ""), (2.5, ", guidance 2.5")])
def test_facts_of_a_distilled_run_name_its_teacher(tmp_path, guidance, words):
    options = {"loss_reconstruction": "mse", "distil_passes": 8, "init_from": "elsewhere", "unity_test": True}
    run = load_run(make_run(tmp_path / "run", samples=False, distil_guidance=guidance, **options))
    assert dict(facts(run))["distillation"] == f"the targets are 8 sampling steps of elsewhere{words}"


@pytest.mark.parametrize("residual", [1.0, 0.5])  # of the other one this version has no networks
def test_a_run_of_an_earlier_version_has_a_report(tmp_path, residual):
    folder = make_run(tmp_path / "run", samples=False)
    about = json.loads((folder / "about.json").read_text())
    about |= {"seconds": about.pop("length"), "codec": about.pop("identity")}
    del about["unit"]
    (folder / "about.json").write_text(json.dumps(about))
    options = yaml.safe_load((folder / "config.yaml").read_text())
    del options["health"]
    options |= {"health_diversity": 0.9, "health_window": 10, "generator": "patch", "residual": residual}
    (folder / "config.yaml").write_text(yaml.safe_dump(options))
    run = load_run(folder)
    assert dict(facts(run))["data"] == "music & more: 16 training and 4 validation pairs of 4 s, mel-1"
    make_report([folder], folder / "report.html")
    (kind,) = [finding.kind for finding in checklist(run) if finding.text.startswith("Generated clips differ")]
    assert kind == BAD_NEWS or residual != 1.0


def test_thresholds_are_those_of_the_run(tmp_path):
    for number, options in enumerate(({"health": {"diversity": 0.9}}, {})):
        run = load_run(make_run(tmp_path / str(number), samples=False, **options))
        (kind,) = [finding.kind for finding in checklist(run) if finding.text.startswith("Generated clips differ")]
        assert kind == (BAD_NEWS if options else GOOD)


def test_segments_are_the_stretches_of_equal_verdicts(run_folder):
    run = load_run(run_folder)
    assert [(s.verdict, s.start, s.end, s.is_state) for s in health_segments(run)] == [
        ("balanced", 0.25, 4.0, True),
        ("discriminator too strong", 4.0, 6.0, True),
    ]
    assert phase_bands(run) == [(0.0, 2.0, "music"), (2.0, 5.0, "transition"), (5.0, 6.0, "noise")]


def test_the_program_says_what_is_wrong(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    assert f"{tmp_path} holds no metrics.jsonl" in capsys.readouterr().err
    folder = make_run(tmp_path / "run", samples=False)
    assert main([str(folder)]) == 0 and (folder / "report.html").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        make_report([folder], tmp_path / "file" / "report.html")
    assert not list(folder.glob(".*partial"))


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e9), st.integers(2, 8))
def test_ticks_lie_within_and_are_round(low, width, most):
    ticks = nice_ticks(low, low + width, most)
    assert len(ticks) <= most + 1
    assert all(low - 1e-6 * width <= t <= low + width * (1 + 1e-6) for t in ticks)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.693147, "0.693"), (1e-4, "1e-4"), (2.5e-5, "2.5e-5"), (1234.5, "1234"), (5e6, "5e6"), (-0.5, "-0.5")],
)
def test_short_numbers(value, text):
    assert short_number(value) == text


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=1000))
def test_thinning_keeps_the_mean(values):
    points = [(float(i), y) for i, y in enumerate(values)]
    few = thin(points, 100)
    assert len(few) == min(100, len(points))
    if len(points) % 100 == 0:
        assert np.mean([y for _, y in few]) == pytest.approx(np.mean(values), abs=1e-9)


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(-1e6, 1e6)), max_size=20), st.booleans())
def test_any_curve_can_be_drawn(points, logarithmic):
    drawn = render_chart(Chart("title", [Series("a", points)], logarithmic=logarithmic), 10.0)
    assert bool(drawn) == bool([y for _, y in points if y > 1e-30 or not logarithmic])
    assert "nan" not in drawn and "inf" not in drawn


def test_spread_keeps_the_ends():
    assert spread(list(range(100)), 4) == [0, 33, 66, 99]
    assert spread([1, 2], 4) == [1, 2] and spread([1, 2], 1) == [2]
