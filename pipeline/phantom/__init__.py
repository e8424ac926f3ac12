"""Procedural chest X-rays with reports and exact masks, written in the real datasets' own layouts."""
