"""The report's check-list with the expected figures, the table of the losses, grids and clips by label."""

import json

import pytest
from test_report import made_up_lines, make_run, page_of, write_samples

from monitoring.report.checks import BAD_NEWS, GOOD, WARN, checklist
from monitoring.report.data import GRID, load_clips, load_run
from monitoring.report.settling import settling


def run_of(tmp_path, change, name="run", **options):
    """The made-up run with other figures: `change(step, line)` -> what is different."""
    folder = make_run(tmp_path / name, samples=False, **options)
    lines = [line | change(line["step"], line) for line in made_up_lines(6)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return load_run(folder)


def found(run, start):
    (finding,) = [finding for finding in checklist(run) if finding.text.startswith(start)]
    return finding.kind, finding.text, finding.expected


def test_the_discriminators_loss_and_its_range(tmp_path):
    settled = run_of(tmp_path, lambda step, line: {"loss/d": 1.4 - 0.08 * min(step, 10) + 0.01 * (step % 2)})
    kind, text, expected = found(settled, "L_D lay between")
    assert kind == GOOD
    assert (
        text
        == "L_D lay between 0.60 and 0.61 in the last third of the run, 0.60 on average, and varied by 1% of its size."
    )
    assert expected == "0.3 to 0.7 (a random guess: 0.69), varies by less than 25%"
    won = run_of(tmp_path, lambda step, line: {"loss/d": 0.04}, "won")
    assert found(won, "L_D lay between 0.04 and 0.04")[0] == WARN
    swinging = run_of(tmp_path, lambda step, line: {"loss/d": 0.9 if step % 2 else 0.2}, "swinging")
    assert found(swinging, "L_D lay between")[0] == WARN
    assert found(swinging, "L_D changes by 127%")[0] == WARN
    pairs = run_of(tmp_path, lambda step, line: {"loss/d": 0.27}, "pairs", gan_loss="rpgan")
    assert found(pairs, "L_D lay between")[0] == GOOD  # with R1 and R2 it settles lower


def test_the_generators_loss_first_against_last(tmp_path):
    falling = run_of(tmp_path, lambda step, line: {"loss/g_adv": 2.0 if step <= 8 else 1.0})
    assert found(falling, "L_G is") == (
        GOOD, "L_G is falling: 2.00 in the first third of the run, 1.00 in the last.", "falling, then constant"
    )  # fmt: skip
    rising = run_of(tmp_path, lambda step, line: {"loss/g_adv": 1.0 if step <= 8 else 2.0}, "rising")
    assert found(rising, "L_G is rising: 1.00")[0] == WARN
    assert found(run_of(tmp_path, lambda step, line: {}, "flat"), "L_G is constant: 0.90")[0] == GOOD


def test_a_run_without_a_discriminator_has_no_such_checks(tmp_path):
    assert settling(run_of(tmp_path, lambda step, line: {}, gan_weight=0.0)) == []


def test_collapse_is_checked_by_diversity_in_all_validations(tmp_path):
    healthy = run_of(tmp_path, lambda step, line: {"diversity/ratio": 0.5 + step / 100})
    kind, text, expected = found(healthy, "Diversity was between")
    assert (kind, text) == (GOOD, "Diversity was between 0.51 and 0.74 of real music's, at the end without collapse.")
    assert expected == "over 0.5; collapse is under 0.15"
    collapsed = run_of(tmp_path, lambda step, line: {"health": {"balanced": "", "mode collapse": "all alike"}}, "flat")
    assert found(collapsed, "Diversity was between")[0] == BAD_NEWS


def test_samples_are_compared_early_and_late_by_their_distance(tmp_path):
    def distance(first, last, since=0):
        """At alpha 1 from step `since` on; before that, with less noise, 0."""

        def at(step, line):
            value = {"val/distance": first + (last - first) * step / 24 if step >= since else 0.0}
            return {"alpha": 1.0 if step >= since else 0.5} | (value if step % 4 == 0 else {})

        return at

    kind, text, expected = found(run_of(tmp_path, distance(0.6, 0.12)), "The distance of generated clips")
    assert kind == GOOD and expected == "lower late than early, towards 0"
    assert text == "The distance of generated clips from real ones fell from epoch 1 to 6: 0.52 to 0.12."
    assert found(run_of(tmp_path, distance(0.1, 0.6), "worse"), "The distance of")[0] == WARN
    late = found(run_of(tmp_path, distance(0.6, 0.12, since=12), "late"), "The distance of")
    assert late[0] == GOOD and late[1].endswith("fell from epoch 3 to 6: 0.36 to 0.12.")


def test_labels_and_classes(tmp_path):
    values = {"classifier/made_accuracy": 0.72, "classifier/val_accuracy": 0.8, "diversity/classes": 0.9}
    run = run_of(tmp_path, lambda step, line: values)
    kind, text, _ = found(run, "Of the labels asked for")
    assert kind == GOOD and "72% in generated clips (of those of real ones 80%)" in text
    assert found(run, "Generated clips are spread over 0.90 times as many classes")[2] == "over 0.8"
    poor = run_of(tmp_path, lambda step, line: values | {"classifier/made_accuracy": 0.3}, "poor")
    assert found(poor, "Of the labels asked for")[0] == WARN


@pytest.mark.parametrize(("rise", "kind"), [(0.12, GOOD), (0.4, WARN)])
def test_the_loss_without_noise_beside_the_music_phases(tmp_path, rise, kind):
    run = run_of(tmp_path, lambda step, line: {"val/clean": 0.5 * (1 + rise * (line["phase"] != "music"))})
    text = f"At the end of the transition the loss without noise was +{rise:.0%} of that of the music phase."
    assert found(run, "At the end of the transition") == (kind, text, "within 10 to 20%")


def test_expected_figures_and_the_table_of_losses_are_on_the_page(tmp_path):
    page, _ = page_of(make_run(tmp_path / "run"), output=tmp_path / "report.html")
    assert "Expected: 0.3 to 0.7 (a random guess: 0.69), varies by less than 25%." in page.sections["Checks"]
    table = page.sections["Health"].split("What the losses say")[1]
    assert "L_D 0.3 to 0.7\n100% of the steps\nhealthy: both networks learn" in table
    assert "L_D over 1\n0% of the steps\nD fails" in table and "L_G constant\nnow\n" in table
    assert "lower --disc_lr to 2.5e-05" in page.sections["Checks"]


def test_grids_and_clips_by_label_are_shown(tmp_path):
    folder = make_run(tmp_path / "run", epochs=2)
    for stem in ("real", "epoch_0001", "epoch_0002"):
        (folder / "samples" / f"{stem}_grid.png").write_bytes((folder / "samples" / "real_0.png").read_bytes())
    write_samples(folder / "samples" / "new", ["label_0", "label_1"])
    for path in (folder / "samples" / "new").glob("*_0.*"):
        path.rename(folder / "samples" / path.name)
    (folder / "samples" / "labels.json").write_text(json.dumps({"epoch": 2, "labels": ["genre=<folk>", "genre=jazz"]}))
    shown = load_clips(folder)
    assert [(clip.title, clip.number, bool(clip.sound)) for clip in shown if clip.number == GRID] == [
        ("real", GRID, False), ("epoch 1", GRID, False), ("epoch 2", GRID, False)
    ]  # fmt: skip
    assert [(clip.caption, bool(clip.sound)) for clip in shown[-2:]] == [("genre=<folk>", True), ("genre=jazz", True)]
    page, text = page_of(folder, output=tmp_path / "report.html")
    assert "one for each label, epoch 2\ngenre=<folk>\ngenre=jazz" in page.sections["Samples"]
    assert text.count('class="sample wide"') == 2 and text.count('class="sample real wide"') == 1
