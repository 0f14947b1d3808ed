"""The programs that the neighbours run; each stands alone in an environment of its own."""
