"""The REST API: a route is one call of one SQL function."""
