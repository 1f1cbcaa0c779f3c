"""The management page: what the API tells and does, as HTML made here, without any build step."""
