"""Speed: every claim is a ratio of two times that are measured alternately in one run.

python -m bench             all rows, at most ten minutes on two cores
python -m bench --quick     each benchmark once, for CI: fails on errors, never on timings
python -m bench step ranks  these rows only
"""
