"""Logs and metrics. A leaf: anyone may call it, it calls nobody."""
