"""The pages, one module each."""

from ui.page import Page
from ui.pages import overview

PAGES: tuple[Page, ...] = (overview.PAGE,)
