"""Generators on disk: what is exported comes back as it was, under today's names or those of earlier versions."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_generators import build

from errors import UserError
from synthesis.loading import DESCRIPTION, WEIGHTS, export_generator, find_generator, load_generator
from synthesis.space import Space


@pytest.fixture(scope="module")
def made(codec):
    return build("patch in passes", codec, mask_type="none", lr=3e-4)


@pytest.fixture
def folder(made, tmp_path):
    export_generator(tmp_path, made.config, made.network.state_dict(), made.space, "epoch 3, step 12")
    return tmp_path


def assert_same_space(a: Space, b: Space) -> None:
    for name in Space.__dataclass_fields__:
        x, y = getattr(a, name), getattr(b, name)
        assert torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y, name


def test_an_export_comes_back_as_it_was(made, folder):
    loaded = load_generator(folder)
    assert loaded.trained_to == "epoch 3, step 12"
    assert loaded.config.flat() == made.config.flat()
    assert_same_space(loaded.space, made.space)
    state = made.network.state_dict()
    assert loaded.network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in loaded.network.state_dict().items())
    assert not loaded.network.training and not any(p.requires_grad for p in loaded.network.parameters())
    x = torch.randn(1, 128, 12)
    assert torch.equal(loaded.network(x, x).output_BDT, made.network(x, x).output_BDT)
    assert loaded.sources == made.sources and loaded.conditioning == made.conditioning


def rewrite(folder, change) -> None:
    path = folder / DESCRIPTION
    described = json.loads(path.read_text())
    change(described)
    path.write_text(json.dumps(described))


def as_first_version(described: dict) -> None:
    space = described.pop("space")
    described["latents"] = {"codec": "mel", "codec_identity": space["identity"], "sample_rate": 24_000, "frames": 48}
    described["config"] |= {"tf32": False, "health_window": 10, "residual": 1.0, "recon_floor": 0.25}


def test_an_export_of_the_first_version_is_understood(made, folder):
    rewrite(folder, as_first_version)
    loaded = load_generator(folder)
    assert_same_space(loaded.space, made.space)
    assert loaded.config.flat() == made.config.flat() | {"health": loaded.config.flat()["health"]}
    assert loaded.config.health.health.window == 10


def test_networks_that_this_version_no_longer_has_are_refused(folder):
    rewrite(folder, lambda described: described["config"].update(conv_kernel=7))
    with pytest.raises(UserError, match="was trained with conv_kernel 7, which this version no longer has"):
        load_generator(folder)


def test_a_discriminator_that_no_longer_exists_does_not_matter(folder):
    rewrite(folder, lambda described: described["config"].update(discriminator="conv-ms", disc_scales=3))
    assert load_generator(folder).config.model.discriminator == "conv"


def test_passes_may_be_others_where_the_generator_knows_every_mixture(codec, folder, tmp_path):
    assert load_generator(folder).config.sampling.passes == 3
    assert load_generator(folder, passes=5).config.sampling.passes == 5
    one = build("patch", codec)
    (tmp_path / "one").mkdir()
    export_generator(tmp_path / "one", one.config, one.network.state_dict(), one.space, "epoch 1, step 1")
    assert load_generator(tmp_path / "one", passes=1).config.sampling.passes == 1
    with pytest.raises(UserError, match="--passes 4 is not possible with .*easy_share"):
        load_generator(tmp_path / "one", passes=4)


def test_a_folder_means_its_export_then_its_last_save(folder):
    assert find_generator(folder) == folder / WEIGHTS
    assert find_generator(folder / WEIGHTS) == folder / WEIGHTS
    (folder / "last.pt").write_bytes(b"x")
    assert find_generator(folder) == folder / WEIGHTS
    (folder / WEIGHTS).unlink()
    assert find_generator(folder) == folder / "last.pt"
    (folder / "last.pt").unlink()
    with pytest.raises(UserError, match="holds neither generator.safetensors nor last.pt"):
        find_generator(folder)
    with pytest.raises(UserError, match="does not exist"):
        find_generator(folder / "nowhere")


BROKEN = {
    "no description": lambda folder: (folder / DESCRIPTION).unlink(),
    "no JSON": lambda folder: (folder / DESCRIPTION).write_text("{"),
    "no options": lambda folder: rewrite(folder, lambda described: described.pop("config")),
    "no space": lambda folder: rewrite(folder, lambda described: described.pop("space")),
    "half a space": lambda folder: rewrite(folder, lambda described: described["space"].pop("shape")),
    "weights cut short": lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:999]),
    "another width": lambda folder: rewrite(folder, lambda described: described["config"].update(width=64)),
}


@pytest.mark.parametrize("damage", BROKEN)
def test_what_is_no_export_is_one_sentence(folder, damage):
    BROKEN[damage](folder)
    with pytest.raises(UserError) as caught:
        load_generator(folder)
    assert str(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_weights_that_diverged_are_refused(folder):
    tensors = load_file(folder / WEIGHTS)
    name = next(name for name in tensors if not name.startswith("latents."))
    tensors[name].view(-1)[0] = torch.nan
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(UserError, match="its training diverged"):
        load_generator(folder)
