"""Rows in, a trained net out."""
