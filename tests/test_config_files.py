"""Options as people write them into files; the threads in which others report trouble with it are named."""

import pytest

from command_line import parse
from errors import UserError


def test_an_option_that_is_there_twice_is_refused(tmp_path):
    """rbgirshick/yacs 17, snowflakedb/ArcticTraining 85: PyYAML takes the last one without a word."""
    (tmp_path / "a.yaml").write_text("lr: 1e-3\nepochs: 2\nlr: 1e-4\n")
    with pytest.raises(UserError, match=r"a\.yaml is not valid YAML: lr is there twice"):
        parse(["--config", str(tmp_path / "a.yaml")])


def test_numbers_as_people_write_them_are_numbers(tmp_path):
    """hiyouga/LlamaFactory 4014, lseventeen/FR-UNet 10: YAML takes 1e-4 for text."""
    (tmp_path / "a.yaml").write_text("lr: 1e-4\ndisc_lr: 5E-05\nweight_decay: .01\nepochs: '3'\n")
    config = parse(["--config", str(tmp_path / "a.yaml")]).flat()
    assert [config[name] for name in ("lr", "disc_lr", "weight_decay", "epochs")] == [1e-4, 5e-5, 0.01, 3]


def test_paths_begin_in_the_home_folder(tmp_path, monkeypatch):
    """mne-tools/mne-python 11533: ~ is a folder's name where no shell replaces it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.yaml").write_text("dataset_folder: ~/music\ncheckpoint_dir: runs/~\n")
    config = parse(["--config=~/a.yaml", "--init_from=~/run"])
    assert config.flat()["dataset_folder"] == str(tmp_path / "music")
    assert config.flat()["checkpoint_dir"] == "runs/~" and config.flat()["init_from"] == str(tmp_path / "run")
