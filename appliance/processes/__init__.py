"""Starts, watches and stops the appliance's processes, with and without systemd."""
