"""Exact rewrites of a network's graph for inference: one idea a file, each a function that changes a graph."""
