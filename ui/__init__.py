"""Shows and asks: NiceGUI pages."""
