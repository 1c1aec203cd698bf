"""Scores, each beside the protocol it was computed under."""
