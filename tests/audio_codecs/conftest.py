"""One EnCodec network with random weights, in both of the published file formats."""

from types import SimpleNamespace

import pytest
import torch
from encodec_files import original_name_of, save_original
from one_thread import one_thread, single_thread  # noqa: F401 (a fixture for every test here)


@pytest.fixture(scope="session")
def random_encodec(tmp_path_factory):
    """`model` (transformers' EncodecModel), `folder` (as on the Hugging Face hub), `original` (a .th file)."""
    from transformers.models.encodec.configuration_encodec import EncodecConfig
    from transformers.models.encodec.modeling_encodec import EncodecModel

    with torch.random.fork_rng(devices=[]), single_thread():
        torch.manual_seed(0)
        # Two codebooks instead of 32 keep the files small; the codec leaves them aside.
        model = EncodecModel(EncodecConfig(target_bandwidths=[1.5])).eval()
    folder = tmp_path_factory.mktemp("encodec")
    model.save_pretrained(folder / "hugging_face")
    original = save_original({original_name_of(key): value for key, value in model.state_dict().items()}, folder)
    return SimpleNamespace(model=model, folder=folder / "hugging_face", original=original)
