"""Music without torch, from a folder that `export.py --onnx` wrote (needs numpy, onnxruntime, soundfile).

python docs/onnx_without_torch.py my_model clip.wav
"""

import sys

import soundfile

folder, path = sys.argv[1:]
sys.path.insert(0, folder)
from onnx_player import OnnxMusic  # noqa: E402 (it lies in the folder)

music = OnnxMusic(folder)
wav = music.generate(seconds=10, seed=1)
soundfile.write(path, wav / max(1.0, abs(wav).max()), music.sample_rate)
