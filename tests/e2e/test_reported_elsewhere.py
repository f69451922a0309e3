"""What users of other trainers and audio models report as trouble; the threads are named, repository and number."""

import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
import soundfile
from e2e_runs import ROOT, TINY, figures, finished, plain, plain_environment, start, train_here
from tiny_exports import tiny_export

import generate
import prepare_dataset
from kinds.audio.files import read_audio, write_wav
from kinds.audio.pairs import read_manifest
from kinds.audio.preparing.demo_music import demo_song
from noise2music import load

pytestmark = pytest.mark.e2e
STEPS = [*TINY, "--epochs", "1", "--max_steps", "2"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs the rights of root")


def run(program, *options, cwd, **more):
    command = [sys.executable, str(ROOT / program), *map(str, options)]
    environment = plain_environment() | more.pop("environment", {})
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, **more)


def songs(folder, names, seconds=3.0):
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_wav(folder / name, demo_song(seed, seconds, 24_000))
    return folder


def prepared(music, out, *options):
    words = ["--input_dir", str(music), "--output_dir", str(out), "--codec", "mel", "--workers", "1"]
    return prepare_dataset.main([*words, "--duration", "1", *options])


# --- datasets ------------------------------------------------------------------------------------------------------


def test_names_of_splits_in_folders_and_files_mean_nothing(tmp_path):
    """huggingface/datasets 5608: of 20,000 files those with "train" in their names were found, 13."""
    names = ["train/a.wav", "my test/validation.wav", "val/train_b.wav", "c.wav", "trainspotting/d.wav"]
    assert prepared(songs(tmp_path / "music", names), tmp_path / "pairs") == 0
    songs_read = read_manifest(tmp_path / "pairs").songs
    assert {line.split(" ", 4)[4] for line in songs_read} == set(names)


def test_a_file_in_the_place_of_the_folder_is_said_to_be_one(tmp_path, capsys):
    """acids-ircam/RAVE 17: "No data found" for the path of a wav file."""
    songs(tmp_path, ["song.wav"])
    assert prepared(tmp_path / "song.wav", tmp_path / "pairs") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "song.wav is a file" in error and "--input_dir" in error


@pytest.mark.parametrize("scale", [1.42, 32768.0])
def test_floats_over_full_scale_are_scaled_down_as_a_whole(tmp_path, scale):
    """bastibe/python-soundfile 297, scipy/scipy 16515: decoded music reaches 1.42, and float files hold integers'
    numbers."""
    song = demo_song(0, 8.0, 24_000)
    song = song / np.abs(song).max()
    (tmp_path / "music").mkdir()
    soundfile.write(tmp_path / "music" / "loud.wav", scale * song, 24_000, "FLOAT")
    assert prepared(tmp_path / "music", tmp_path / "pairs") == 0
    clips = [read_audio(path) for path in sorted((tmp_path / "pairs").rglob("*_input.wav"))]
    first = clips[0]
    assert np.abs(first - 0.999 * song[: len(first)]).max() < 2e-3


def test_more_files_than_may_be_open(tmp_path):
    """teticio/audio-diffusion 6: preprocessing of many files ends with "Too many open files"."""
    songs(tmp_path / "music", [f"{k}.wav" for k in range(90)], seconds=2.0)
    options = ["--input_dir", "music", "--output_dir", "pairs", "--codec", "mel", "--duration", 1, "--workers", 2]

    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

    done = run("prepare_dataset.py", *options, cwd=tmp_path, preexec_fn=few)
    assert done.returncode == 0, done.stderr[-2000:]
    training = ["--dataset_folder", "pairs", "--checkpoint_dir", "run", *STEPS, "--num_workers", 2, "--world_size", 1]
    done = run("train_simple_ddp.py", *training, cwd=tmp_path, preexec_fn=few)
    assert done.returncode == 0, done.stderr[-2000:]


# --- starting ------------------------------------------------------------------------------------------------------


def test_two_bare_torchruns_at_once(here):
    """meta-pytorch/torchtune 1025: the second run on a machine ends with "Address already in use"."""
    bare = [sys.executable, "-m", "torch.distributed.run", str(ROOT / "train_simple_ddp.py"), *map(str, STEPS)]
    both = [start([*bare, "--checkpoint_dir", name], here) for name in ("one", "other")]
    for process in both:
        code, _, err = finished(process)
        assert code == 0, err[-2000:]
    assert figures(here / "one") == figures(here / "other")


@as_root
def test_a_host_whose_name_nobody_can_resolve(here):
    """pytorch/elastic 113, IAHispano/Applio 79: torch's agent and gloo look the machine's own name up."""
    program = plain(*STEPS, "--checkpoint_dir", "run", "--world_size", 2)
    renamed = ["unshare", "--uts", "sh", "-c", 'hostname no-such-host.invalid; exec "$@"', "sh", *program]
    code, _, err = finished(start(renamed, here))
    assert code == 0 and len(figures(here / "run")) == 2, err[-2000:]


def test_a_user_without_a_name_and_a_home(here):
    """pytorch/pytorch 140765: in containers the user's number often has no name, and getpass.getuser() fails."""
    (here / "patched").mkdir()
    (here / "patched" / "sitecustomize.py").write_text(
        "import pwd\ndef getpwuid(number):\n    raise KeyError(f'getpwuid(): uid not found: {number}')\n"
        "pwd.getpwuid = getpwuid\n"
    )
    nameless = dict.fromkeys(("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"), "")
    nameless |= {"PYTHONPATH": f"{here / 'patched'}:{ROOT}", "HOME": "/nonexistent"}
    options = [*STEPS, "--checkpoint_dir", "run", "--sample_every", 1, "--sample_num", 1]
    done = run("train_simple_ddp.py", *options, cwd=here, environment=nameless)
    assert done.returncode == 0 and (here / "run" / "report.html").exists(), done.stderr[-2000:]
    made = ["--checkpoint", "run", "--num", 1, "--duration", 0.5, "--spectrogram"]
    done = run("generate.py", *made, cwd=here, environment=nameless)
    assert done.returncode == 0 and done.stderr == "", done.stderr[-2000:]


def test_a_run_that_is_done_is_done_again_at_once(here, capsys):
    """Schedulers start a job again that has ended; with --resume auto nothing is trained twice."""
    assert train_here(*TINY, "--epochs", "1", "--checkpoint_dir", "run") == 0
    before, saved = figures(here / "run"), (here / "run" / "generator.safetensors").read_bytes()
    for _ in range(2):
        assert train_here("--resume", "auto", "--checkpoint_dir", "run") == 0
    assert figures(here / "run") == before
    assert (here / "run" / "generator.safetensors").read_bytes() == saved


# --- listening -----------------------------------------------------------------------------------------------------


def test_the_page_behind_a_proxy(tmp_path):
    """gradio-app/gradio 3512: "When localhost is not accessible, a shareable link must be created"."""
    pytest.importorskip("gradio", reason="the page needs the package gradio")
    folder = tiny_export(tmp_path / "run")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    nowhere = "http://127.0.0.1:9"  # nobody listens at the port "discard"
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nowhere)
    command = [sys.executable, str(ROOT / "listen.py"), "--checkpoint", str(folder), "--port", str(port)]
    environment = plain_environment() | proxies
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = server.stdout.readline()
        assert said.strip().endswith(f"http://127.0.0.1:{port}") or f"127.0.0.1:{port}" in said, said
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"http://127.0.0.1:{port}", timeout=60) as answer:
            assert answer.status == 200
    finally:
        server.terminate()
        server.communicate(timeout=60)


@pytest.mark.parametrize("seed", [-1, 2**32, 2**63 - 1, 2**64, 2**200])
def test_any_seed_gives_a_clip_or_one_sentence(tmp_path, capsys, seed):
    """diodiogod/ComfyUI_ChatterBox_SRT_Voice 8, bghira/SimpleTuner 97: seeds over 2^32 - 1, and -1, end in a
    traceback."""
    folder = tiny_export(tmp_path / "run")
    words = ["--checkpoint", str(folder), "--num", "1", "--duration", "0.3", "--output_dir", str(tmp_path / "out")]
    code = generate.main([*words, "--seed", str(seed)])
    error = capsys.readouterr().err
    if code == 2:
        assert error.count("\n") == 1 and "--seed" in error
    else:
        assert code == 0 and error == "" and len(list((tmp_path / "out").glob("*.wav"))) == 1


def test_no_click_at_the_end_and_no_silence_there():
    """seungwonpark/melgan 8: a click at the end of every clip; Sogni-AI/sogni-client 18: the last 30 % are silent."""
    wav = load(ROOT / "pretrained" / "demo").generate(20.0, seed=3).wav_N
    seconds = np.sqrt(np.square(wav.reshape(20, -1)).mean(1))
    assert seconds.min() > 0.1 * np.median(seconds)
    ends = np.abs(np.diff(wav))
    assert max(ends[:240].max(), ends[-240:].max()) <= ends[240:-240].max()


# --- watching ------------------------------------------------------------------------------------------------------


def test_tensorboard_shows_a_run_within_seconds(here):
    """roboflow/rf-detr 234, tensorflow/tensorboard 1174: event files stay empty until the first epoch is over."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = [*TINY, "--epochs", "2000", "--save_every", "2000", "--val_every", "2000", "--checkpoint_dir", "run"]
    training = start(plain(*options), here)
    try:
        while not (here / "run" / "metrics.jsonl").exists() or not figures(here / "run"):
            assert training.poll() is None
            time.sleep(0.1)
        began, seen = time.monotonic(), []
        while not seen and time.monotonic() - began < 60:
            time.sleep(0.5)
            board = EventAccumulator(str(here / "run" / "tb")).Reload()
            with contextlib.suppress(KeyError):
                seen = board.Scalars("training/alpha")
        assert seen and time.monotonic() - began < 40
    finally:
        training.terminate()
        training.communicate(timeout=60)
