"""The management API: signals, versions and deployments, behind a token."""
