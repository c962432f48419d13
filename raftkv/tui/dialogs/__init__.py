"""The small windows over the dashboard, one a file. Each ends with a value, or None: cancelled."""
