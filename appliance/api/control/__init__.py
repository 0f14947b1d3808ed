"""The control API: all that the dashboard and the command line do, over HTTP."""
