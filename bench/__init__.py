"""How fast: every claim as a ratio of two things measured side by side in one run.

python -m bench             all rows, at most ten minutes on two cores
python -m bench --quick     each script once, for CI: fails on broken scripts, never on timings
python -m bench step ranks  these rows only
"""
