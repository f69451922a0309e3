"""What all kinds of data share: the endless stream of samples, work in several processes, progress bars."""
