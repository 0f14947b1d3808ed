"""The pages, one module each."""

from ui.page import Page
from ui.pages import data, dataset, job, jobs, model, models, new_model, overview

PAGES: tuple[Page, ...] = tuple(
    # A fixed address comes before one with a placeholder that would swallow it.
    module.PAGE
    for module in (overview, data, dataset, models, new_model, model, jobs, job)
)
