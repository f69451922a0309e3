"""A quick codec and both generators, on one thread: a busy machine makes more of them slow."""

import pytest
from one_thread import one_thread  # noqa: F401 (a fixture for every test here)
from tiny_generators import OPTIONS, build

from audio_codecs import open_codec


@pytest.fixture(scope="session")
def codec():
    codec = open_codec("mel")
    codec.rounds = 2
    return codec


@pytest.fixture(scope="session", params=sorted(OPTIONS))
def loaded(request, codec):
    return build(request.param, codec)
