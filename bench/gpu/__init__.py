"""Everything that only a GPU can show, in one command, in under nine minutes, without a network.

python -m bench.gpu                 checks, launch files, speed, the recipe `base` in the time that is left
python -m bench.gpu --device cpu    the same at toy size, to find errors in these files: its tables measure nothing
"""
