"""Turns a snapshot into a bundle: checks, split, fit, evaluation, reference."""
