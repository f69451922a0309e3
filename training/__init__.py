"""The two updates and everything around them. Nothing here names a kind of data, a network or an objective."""
