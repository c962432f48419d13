"""The eight screens, one a file. Each is filled from a ``Frame`` and knows nothing of the cluster."""
