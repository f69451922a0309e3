"""The convolutions behind the patch generator: begin at nothing, know the noise level, treat bands and frames alike."""

import pytest
import torch

from models.patch_generator import PatchCascadeGenerator
from models.refinement import LocalRefinement


def generator_with(**options) -> PatchCascadeGenerator:
    sizes = {"width": 16, "nhead": 2, "num_layers": 1, "num_stages": 2}
    return PatchCascadeGenerator(8, **sizes, conditions={"alpha": 1}, statistics=False, **options)


def test_refinement_begins_with_nothing():
    torch.manual_seed(0)
    generator, plain = generator_with(refine_channels=4), generator_with()
    plain.load_state_dict({k: v for k, v in generator.state_dict().items() if ".refine." not in k})
    assert [stage.refine is None for stage in generator.stages] == [True, False]
    x, y = torch.randn(2, 2, 8, 11)
    half = {"alpha": torch.full((2,), 0.5)}
    torch.testing.assert_close(generator(x, y, half), plain(x, y, half))


def test_refinement_sees_the_noise_level():
    torch.manual_seed(0)
    refine = LocalRefinement(2, 4, 2, conditions={"alpha": 1})
    torch.nn.init.normal_(refine.output.weight)
    planes, low, high = torch.randn(2, 3, 8, 12), {"alpha": torch.zeros(3)}, {"alpha": torch.ones(3)}
    torch.testing.assert_close(refine(planes, low), refine(planes, high))  # not yet
    torch.nn.init.normal_(refine.modulate.weight)
    assert not torch.allclose(refine(planes, low), refine(planes, high))


@pytest.mark.parametrize("fold", [1, 2, 3])
def test_refinement_treats_all_bands_and_folds_alike(fold):
    torch.manual_seed(0)
    refine = LocalRefinement(2, 4, fold)
    torch.nn.init.normal_(refine.output.weight)
    planes, by = torch.randn(2, 1, 20, 60 * fold), (1, 3 * fold)
    made, moved = refine(planes), refine(planes.roll(by, dims=(2, 3)))
    inner = (slice(None), slice(5, 15), slice(18 * fold, -18 * fold))  # what does not see the edges
    assert made.shape == (1, 20, 60 * fold) and made[inner].any()
    torch.testing.assert_close(moved[inner], made.roll(by, dims=(1, 2))[inner], atol=1e-5, rtol=1e-4)


def test_refinement_reaches_fifteen_folds_and_no_farther():
    torch.manual_seed(0)
    refine = LocalRefinement(1, 4, 2)
    torch.nn.init.normal_(refine.output.weight)
    planes = torch.zeros(1, 1, 12, 80, requires_grad=True)
    refine(planes + torch.randn(80))[0, 6, 40].backward()
    reached = planes.grad[0, 0].any(dim=0).nonzero()[[0, -1], 0].tolist()
    assert reached == [40 - 2 * 15, 41 + 2 * 15]  # 2 + 4 + 8 folds, and one of the last convolution
