"""Regularization paths, from dense to sparse, and the choice along them."""

from skreg.path.run import RegularizationPath, regularization_path

__all__ = ["RegularizationPath", "regularization_path"]
