"""Shared by all kinds of data: the endless stream of samples, work in several processes, progress bars."""
