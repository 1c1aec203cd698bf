"""Stages: paths and settings in, one path out, nothing printed, safe to run twice.

Python, the command line and a pipeline file call the same functions with the same parameter names.
"""
