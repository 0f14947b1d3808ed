"""Pictures of every page, light and dark, desktop, phone and wide; see ``__main__``."""
