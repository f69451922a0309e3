"""Brings `inject.py` into the ranks of a launcher; the program loads it by the variable NOISE2MUSIC_PLUGINS."""

import os

if "RANK" in os.environ:  # not in the launcher itself
    import inject

    inject.apply()
