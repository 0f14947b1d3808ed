"""The inference API: codecs around the serving engine."""
