"""pst: speech translation on your own machine, with parasitic speculative decoding."""

__version__ = "0.1.0"
