"""The rulers by name, and sets of clips measured by them."""

import numpy as np
import pytest

from errors import UserError
from evaluation.scorer import Described
from kinds.audio import notes, rulers

WHY = "the notes ruler needs onnxruntime: pip install onnxruntime"


def test_all_usable_rulers_by_default(monkeypatch):
    monkeypatch.setattr(notes, "missing", lambda: None)
    assert rulers.usable_rulers(None) == (["clips", "notes"], [])
    assert rulers.usable_rulers("notes, clips,notes") == (["clips", "notes"], [])


def test_a_missing_ruler_is_one_sentence_and_the_rest_goes_on(monkeypatch):
    monkeypatch.setattr(notes, "missing", lambda: WHY)
    assert rulers.usable_rulers(None) == (["clips"], [WHY])
    assert rulers.usable_rulers("clips") == (["clips"], [])
    with pytest.raises(UserError, match="needs onnxruntime"):
        rulers.usable_rulers("notes")


@pytest.mark.parametrize("names", ["", "note", "clips,inches"])
def test_an_unknown_ruler_is_one_sentence(names):
    with pytest.raises(UserError, match="there is no ruler .*choose from clips, notes"):
        rulers.usable_rulers(names)


def test_raw_means_have_the_interval_of_a_mean(monkeypatch):
    def describe(audio_BN, device):
        flags_B = np.zeros(len(audio_BN), bool)
        return Described(audio_BN[:, :3].astype(np.float64), flags_B, flags_B)

    ruler = rulers.Ruler(
        describe, lambda: ("a", "b", "c"), raw={"b": ("b", 1)}, copies=False, leaves_out=("silent", "clipped")
    )
    monkeypatch.setitem(rulers.RULERS, "toy", ruler)
    real_BN, clips_BN = np.random.default_rng(0).normal(2, 0.5, (2, 64, 3))
    measuring = rulers.Measuring("toy", real_BN, real_BN)
    figures = measuring.score(clips_BN, rounds=10)
    assert set(figures) == {"frechet", "kernel", "density", "coverage", "diversity", "b"}
    half = 1.96 * clips_BN[:, 1].std() / 8
    assert figures["b"]["value"] == pytest.approx(clips_BN[:, 1].mean())
    assert figures["b"]["high"] - figures["b"]["value"] == pytest.approx(half)
    assert measuring.reference_means["b"]["value"] == pytest.approx(real_BN[:, 1].mean())
