"""The bike-sharing demo, end to end, on the running appliance."""
