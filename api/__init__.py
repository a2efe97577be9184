"""Serves the curated tables over HTTP: generated from the manifest, secured by OAuth2 and JWT."""
