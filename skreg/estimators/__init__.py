"""scikit-learn's side: estimators around the nets."""
