"""Meaning: frozen values and the rules they keep. No input or output."""
