"""handsynth turns any hand dataset into one clean store, and too little data into enough."""

__version__ = "0.1.0"
