"""The soundfont of the tests: the file of N2M_SOUNDFONT, or Debian's; None where neither is there."""

import importlib.util
import os
from pathlib import Path

import pytest

_PATH = Path(os.environ.get("N2M_SOUNDFONT", "/usr/share/sounds/sf2/FluidR3_GM.sf2"))
SOUNDFONT = str(_PATH) if _PATH.is_file() and importlib.util.find_spec("tinysoundfont") else None
needs_soundfont = pytest.mark.skipif(SOUNDFONT is None, reason="no tinysoundfont, or no soundfont (N2M_SOUNDFONT)")
